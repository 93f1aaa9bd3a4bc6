# The limiter on the simulated GPU: programs that use it in every way, and the scripts that run them.
set(limiter_dir ${CMAKE_CURRENT_LIST_DIR}/limiter)
add_library(limiter_test_cu STATIC ${limiter_dir}/cu.c)
target_link_libraries(limiter_test_cu PUBLIC divvy_flags divvy_cuda dl)
foreach(program families)
    add_executable(limiter_${program} ${limiter_dir}/${program}.c)
    target_link_libraries(limiter_${program} PRIVATE limiter_test_cu pthread)
    set_target_properties(limiter_${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endforeach()
