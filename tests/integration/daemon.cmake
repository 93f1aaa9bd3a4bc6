# The life of divvyd with the simulated GPU: beginning, signals, reload, devices that go and come back, end.
if(TARGET divvyd AND TARGET divvy-sim)
    add_test(NAME integration/daemon
        COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/daemon.sh $<TARGET_FILE:divvyd> $<TARGET_FILE:divvy-sim>)
    set_tests_properties(integration/daemon PROPERTIES LABELS integration TIMEOUT 180 SKIP_RETURN_CODE 77)
endif()
