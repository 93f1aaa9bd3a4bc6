# The limiter's end of the two-way channel on the simulated GPU: a hypervisor that is played, and programs that obey it.
add_executable(channel_hypervisor ${CMAKE_CURRENT_LIST_DIR}/channel_parts/hypervisor.c ${PROJECT_SOURCE_DIR}/bench/channel_host.c)
target_link_libraries(channel_hypervisor PRIVATE divvy_wire_server divvy_simgpu_engine divvy_core m)
add_executable(channel_forker ${CMAKE_CURRENT_LIST_DIR}/channel_parts/forker.c)
target_link_libraries(channel_forker PRIVATE limiter_test_cu)
set_target_properties(channel_hypervisor channel_forker PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME integration/channel
    COMMAND channel_hypervisor ${CMAKE_BINARY_DIR}/tests/compute_load ${CMAKE_BINARY_DIR}/tests/limiter_probe
        $<TARGET_FILE:channel_forker> ${CMAKE_BINARY_DIR}/lib ${DIVVY_SANITIZE})
set_tests_properties(integration/channel PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77 RUN_SERIAL TRUE)
# The same through a real daemon.
if(TARGET divvyd AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/channel_daemon
        COMMAND ${CMAKE_CURRENT_LIST_DIR}/channel_parts/daemon.sh ${CMAKE_BINARY_DIR}/bin ${CMAKE_BINARY_DIR}/lib
            ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME integration/channel_lease
        COMMAND ${CMAKE_CURRENT_LIST_DIR}/channel_parts/lease.sh ${CMAKE_BINARY_DIR}/bin ${CMAKE_BINARY_DIR}/lib
            ${CMAKE_BINARY_DIR}/tests)
    set_tests_properties(integration/channel_lease PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77 RUN_SERIAL TRUE)
    set_tests_properties(integration/channel_daemon PROPERTIES LABELS integration TIMEOUT 180 SKIP_RETURN_CODE 77 RUN_SERIAL TRUE)
endif()
