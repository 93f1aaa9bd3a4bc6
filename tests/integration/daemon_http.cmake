# The HTTP server from outside: the OpenAPI document against it, and Prometheus' own check of its metrics.
if(TARGET daemon_http_fake)
    find_program(PYTHON3 python3 REQUIRED)
    set(http_tests ${CMAKE_CURRENT_SOURCE_DIR}/daemon_http)
    add_executable(http_fake_server ${http_tests}/fake_server.c)
    target_link_libraries(http_fake_server PRIVATE daemon_http_fake divvy_daemon_http)
    set_target_properties(http_fake_server PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

    add_test(NAME integration/http_openapi
        COMMAND ${PYTHON3} ${http_tests}/openapi.py ${PROJECT_SOURCE_DIR}/docs/openapi.json $<TARGET_FILE:http_fake_server>)
    add_test(NAME integration/http_promtool COMMAND ${PYTHON3} ${http_tests}/promtool.py $<TARGET_FILE:http_fake_server>)
    # Two instances, one of which has an example's profile.
    set(http_environment PYTHONDONTWRITEBYTECODE=1 "FAKE_MIG=H100:1g.10gb,2g.20gb")
    if(TARGET mig_fake_nvml)
        list(APPEND http_environment "FAKE_MIG_NVML=$<TARGET_FILE:mig_fake_nvml>")
    endif()
    set_tests_properties(integration/http_openapi integration/http_promtool
        PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77 ENVIRONMENT "${http_environment}")
endif()
if(TARGET daemon_http_fake AND TARGET divvyd AND TARGET simgpu_nvml)
    add_test(NAME integration/http_daemon
        COMMAND ${PYTHON3} ${http_tests}/daemon.py $<TARGET_FILE:divvyd> ${PROJECT_SOURCE_DIR}/docs/openapi.json
            $<TARGET_FILE:http_fake_server>)
    set_tests_properties(integration/http_daemon PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
    add_test(NAME integration/http_prometheus
        COMMAND ${PYTHON3} ${http_tests}/prometheus.py $<TARGET_FILE:divvyd> $<TARGET_FILE:http_fake_server>)
    set_tests_properties(integration/http_prometheus PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
