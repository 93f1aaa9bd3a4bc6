# The command line apart from the limiter and the simulated GPU: a tree of its own with stand-ins for them.
set(cli_tree ${CMAKE_BINARY_DIR}/tests/cli-tree)
foreach(part fake_cuda:libcuda.so.1 fake_nvml:libnvidia-ml.so.1)
    string(REGEX REPLACE ":.*" "" name ${part})
    string(REGEX REPLACE ".*:" "" file ${part})
    # Without divvy_flags: programs that are not built with sanitizers must be able to load them.
    add_library(cli_${name} SHARED ${CMAKE_CURRENT_SOURCE_DIR}/cli_parts/${name}.c)
    target_include_directories(cli_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_compile_definitions(cli_${name} PRIVATE _GNU_SOURCE)
    target_link_libraries(cli_${name} PRIVATE dl)
    set_target_properties(cli_${name} PROPERTIES PREFIX "" SUFFIX "" OUTPUT_NAME ${file} NO_SONAME ON
        LIBRARY_OUTPUT_DIRECTORY ${cli_tree}/lib/simgpu)
endforeach()
add_library(cli_fake_limiter SHARED ${CMAKE_CURRENT_SOURCE_DIR}/cli_parts/fake_limiter.c)
set_target_properties(cli_fake_limiter PROPERTIES PREFIX "" SUFFIX "" OUTPUT_NAME libcuda_limiter.so NO_SONAME ON
    LIBRARY_OUTPUT_DIRECTORY ${cli_tree}/lib)
add_executable(cli_terminal ${CMAKE_CURRENT_SOURCE_DIR}/cli_parts/terminal.c)
target_link_libraries(cli_terminal PRIVATE divvy_flags util)
set_target_properties(cli_terminal PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

add_test(NAME integration/cli
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli.sh $<TARGET_FILE:divvy> ${cli_tree} $<TARGET_FILE:cli_terminal>)
set_tests_properties(integration/cli PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77)

add_executable(cli_top ${CMAKE_CURRENT_SOURCE_DIR}/cli_parts/top.c)
target_link_libraries(cli_top PRIVATE divvy_flags util)
set_target_properties(cli_top PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME integration/cli_daemon
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli_daemon.sh $<TARGET_FILE:divvy> ${cli_tree}
        ${CMAKE_CURRENT_SOURCE_DIR}/cli_parts/fake_divvyd.py $<TARGET_FILE:cli_top>)
set_tests_properties(integration/cli_daemon PROPERTIES LABELS integration TIMEOUT 180 SKIP_RETURN_CODE 77)
