# The limiter on the simulated GPU: programs that use it in every way, and the script that runs them.
set(limiter_dir ${CMAKE_CURRENT_LIST_DIR}/limiter)
if(TARGET divvy_limiter_so AND TARGET simgpu_cuda AND TARGET simgpu_nvml)
    add_library(limiter_test_cu STATIC ${limiter_dir}/cu.c)
    target_link_libraries(limiter_test_cu PUBLIC divvy_flags divvy_cuda dl)
    function(limiter_program name source)
        add_executable(limiter_${name} ${limiter_dir}/${source}.c)
        target_link_libraries(limiter_${name} PRIVATE limiter_test_cu ${ARGN} pthread)
        set_target_properties(limiter_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    endfunction()
    limiter_program(families families)
    limiter_program(routes routes divvy_limiter)
    # The same, linked to the driver's library instead of loading it.
    limiter_program(routes_linked routes divvy_limiter -Wl,--no-as-needed simgpu_cuda -Wl,--as-needed)
    limiter_program(probe probe)
    limiter_program(abi abi)
    # Calls by name: of a program, and of a plugin that it loads, linked to the driver with lazy and with early binding.
    limiter_program(linked linked -Wl,--no-as-needed simgpu_cuda -Wl,--as-needed)
    limiter_program(linked_loader linked)
    target_compile_definitions(limiter_linked_loader PRIVATE LINKED_LOADER)
    foreach(binding lazy now)
        add_library(limiter_plugin_${binding} SHARED ${limiter_dir}/linked.c)
        target_compile_definitions(limiter_plugin_${binding} PRIVATE LINKED_PLUGIN)
        target_link_libraries(limiter_plugin_${binding} PRIVATE divvy_cuda simgpu_cuda -Wl,-z,${binding})
        target_include_directories(limiter_plugin_${binding} PRIVATE ${PROJECT_SOURCE_DIR}/src)
        set_target_properties(limiter_plugin_${binding} PROPERTIES C_VISIBILITY_PRESET default
            LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    endforeach()
    limiter_program(processes processes)

    # The same programs with the hooks linked in, which is how sanitizers can watch them.
    foreach(program families processes)
        add_executable(limiter_${program}_direct ${limiter_dir}/${program}.c ${limiter_dir}/cu.c)
        target_compile_definitions(limiter_${program}_direct PRIVATE CU_DIRECT)
        target_link_libraries(limiter_${program}_direct PRIVATE divvy_limiter dl pthread)
        set_target_properties(limiter_${program}_direct PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    endforeach()
    foreach(case families threads contexts pools vfork)
        set(program limiter_processes_direct)
        if(case STREQUAL families)
            set(program limiter_families_direct)
        endif()
        add_test(NAME integration/limiter_direct_${case} COMMAND ${program} ${case})
        set_tests_properties(integration/limiter_direct_${case} PROPERTIES LABELS integration TIMEOUT 300
            SKIP_RETURN_CODE 77 ENVIRONMENT
            "LD_LIBRARY_PATH=${CMAKE_BINARY_DIR}/lib/simgpu;DIVVY_SIM_DIR=${CMAKE_BINARY_DIR}/tests/sim-${case};TENSOR_FUSION_CUDA_MEM_LIMIT={\"0\": 4294967296}")
    endforeach()

    # A sanitized library cannot be preloaded into a program that is not; those builds have the tests above.
    if(NOT DIVVY_SANITIZE)
        foreach(case bad_input limits two_devices families routes processes kill storm views abi)
            add_test(NAME integration/limiter_${case} COMMAND ${limiter_dir}/limiter.sh ${CMAKE_BINARY_DIR} ${case})
            set_tests_properties(integration/limiter_${case} PROPERTIES LABELS integration TIMEOUT 300
                SKIP_RETURN_CODE 77)
        endforeach()
    endif()
endif()
