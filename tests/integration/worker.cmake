# A worker behind the limiter, on the simulated GPU, and its clients.
if(TARGET divvy-worker AND TARGET divvy-sim AND TARGET divvy AND NOT DIVVY_SANITIZE)
    add_executable(worker_launch_with ${CMAKE_CURRENT_SOURCE_DIR}/worker_parts/launch_with.c)
    target_link_libraries(worker_launch_with PRIVATE divvy_remote_client divvy_flags)
    set_target_properties(worker_launch_with PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME integration/worker
        COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/worker.sh ${CMAKE_BINARY_DIR}/bin ${CMAKE_CURRENT_SOURCE_DIR}/worker_parts)
    set_tests_properties(integration/worker PROPERTIES LABELS integration TIMEOUT 180 SKIP_RETURN_CODE 77)
endif()
