# A worker behind the limiter, on the simulated GPU, and its clients.
if(TARGET divvy-worker AND TARGET divvy-sim AND TARGET divvy AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/worker
        COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/worker.sh ${CMAKE_BINARY_DIR}/bin ${CMAKE_CURRENT_SOURCE_DIR}/worker_parts)
    set_tests_properties(integration/worker PROPERTIES LABELS integration TIMEOUT 180 SKIP_RETURN_CODE 77)
endif()
