# The MIG runner as its users run it, on the simulated GPU.
add_executable(runner_program ${CMAKE_CURRENT_SOURCE_DIR}/runner_parts/program.c)
target_link_libraries(runner_program PRIVATE dl)
target_compile_definitions(runner_program PRIVATE _GNU_SOURCE)
set_target_properties(runner_program PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

foreach(part runner runner_limits runner_monitoring runner_examples)
    add_test(NAME integration/${part}
        COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/${part}.sh $<TARGET_FILE:divvy-runner> $<TARGET_FILE:runner_program>
            "${DIVVY_SANITIZE}")
    set_tests_properties(integration/${part} PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77)
endforeach()
