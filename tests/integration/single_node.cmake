# A node by itself: divvyd with workers of a state file on the simulated GPU, killed at all times; and the example.
if(TARGET divvyd AND TARGET divvy-sim AND TARGET accelerator_nvidia AND TARGET backend_tcp_worker AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/single_node
        COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/single_node.sh ${CMAKE_BINARY_DIR}/bin $<TARGET_FILE:backend_tcp_worker>)
    set_tests_properties(integration/single_node PROPERTIES LABELS integration TIMEOUT 180 SKIP_RETURN_CODE 77)
endif()
