# Idle tenants that are saved and come back by themselves.
if(TARGET divvyd AND TARGET divvy-sim AND TARGET divvy AND NOT DIVVY_SANITIZE)
    add_executable(idle_sleeper ${CMAKE_CURRENT_LIST_DIR}/idle_parts/sleeper.c)
    target_link_libraries(idle_sleeper PRIVATE limiter_test_cu pthread)
    set_target_properties(idle_sleeper PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME integration/idle
        COMMAND ${CMAKE_CURRENT_LIST_DIR}/idle.sh ${CMAKE_BINARY_DIR}/bin $<TARGET_FILE:idle_sleeper>)
    add_test(NAME integration/idle_channel
        COMMAND ${CMAKE_CURRENT_LIST_DIR}/idle_channel.sh ${CMAKE_BINARY_DIR}/bin ${CMAKE_BINARY_DIR}/lib $<TARGET_FILE:idle_sleeper>)
    set_tests_properties(integration/idle integration/idle_channel PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
