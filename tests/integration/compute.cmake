# Shares of GPU time on the simulated GPU: a program that launches in every way, and one that holds the truth against it.
set(compute_dir ${CMAKE_CURRENT_LIST_DIR}/compute_parts)
add_executable(compute_load ${compute_dir}/load.c)
target_link_libraries(compute_load PRIVATE limiter_test_cu pthread)
add_executable(compute_shares ${compute_dir}/shares.c)
target_link_libraries(compute_shares PRIVATE divvy_simgpu_engine divvy_page divvy_core m)
add_executable(compute_leases ${compute_dir}/leases.c)
add_dependencies(compute_leases limiter_probe)
target_link_libraries(compute_leases PRIVATE divvy_simgpu_engine divvy_page divvy_core m)
set_target_properties(compute_load compute_shares compute_leases PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

add_test(NAME integration/compute
    COMMAND compute_shares $<TARGET_FILE:compute_load> ${CMAKE_BINARY_DIR}/lib ${DIVVY_SANITIZE})
set_tests_properties(integration/compute PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77 RUN_SERIAL TRUE)
add_test(NAME integration/compute_leases
    COMMAND compute_leases $<TARGET_FILE:compute_load> ${CMAKE_BINARY_DIR}/lib ${DIVVY_SANITIZE})
set_tests_properties(integration/compute_leases PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77 RUN_SERIAL TRUE)
