# The device plugin of divvyd against a kubelet made of grpcio, which Debian has for its own Python.
if(TARGET divvyd AND TARGET divvy-sim)
    find_program(SYSTEM_PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH)
    if(NOT SYSTEM_PYTHON3)
        set(SYSTEM_PYTHON3 python3)
    endif()
    add_test(NAME integration/device_plugin
        COMMAND ${SYSTEM_PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/device_plugin/device_plugin.py $<TARGET_FILE:divvyd> $<TARGET_FILE:divvy-sim>)
    add_test(NAME integration/device_plugin_cluster
        COMMAND ${SYSTEM_PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/device_plugin/cluster.py $<TARGET_FILE:divvyd> $<TARGET_FILE:divvy-sim>)
    set_tests_properties(integration/device_plugin integration/device_plugin_cluster PROPERTIES LABELS integration TIMEOUT 240 SKIP_RETURN_CODE 77
        ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
