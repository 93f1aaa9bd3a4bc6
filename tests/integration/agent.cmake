# ggo with a platform of its own (agent_parts/platform.c) and the backend's small TCP worker: its commands, and the whole life of an agent.
if(TARGET ggo AND TARGET backend_tcp_worker)
    find_library(MICROHTTPD microhttpd REQUIRED)
    add_executable(agent_platform ${CMAKE_CURRENT_SOURCE_DIR}/agent_parts/platform.c)
    target_link_libraries(agent_platform PRIVATE divvy_flags ${MICROHTTPD} jansson crypto pthread)
    set_target_properties(agent_platform PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    set(parts cli life)
    if(NOT DIVVY_SANITIZE) # a sanitized limiter cannot be preloaded
        list(APPEND parts soft partitioned)
    endif()
    foreach(part ${parts})
        add_test(NAME integration/agent_${part}
            COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/agent_${part}.sh $<TARGET_FILE:ggo> $<TARGET_FILE:agent_platform> $<TARGET_FILE:backend_tcp_worker>
                ${CMAKE_BINARY_DIR}/lib)
        set_tests_properties(integration/agent_${part} PROPERTIES LABELS integration TIMEOUT 240 SKIP_RETURN_CODE 77
            RESOURCE_LOCK agent_ports) # they keep the kernel from giving out the same ports, and give them back at their end
    endforeach()
endif()
