# Tenants whose device memory goes to host memory and back, with programs behind the limiter.
if(TARGET divvyd AND TARGET divvy-sim AND TARGET divvy AND TARGET driver_checkpoint AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/snapshot
        COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/snapshot.sh ${CMAKE_BINARY_DIR}/bin $<TARGET_FILE:driver_checkpoint>)
    set_tests_properties(integration/snapshot PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77)
endif()
