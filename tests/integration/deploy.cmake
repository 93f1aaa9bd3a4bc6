# What deploy/ says of itself is so: manifests, chart, rules, dashboard, and registering tenants with a running daemon.
find_program(PYTHON3 python3 REQUIRED)
set(deploy_tests ${CMAKE_CURRENT_SOURCE_DIR}/deploy)
add_test(NAME integration/deploy_manifests COMMAND ${PYTHON3} ${deploy_tests}/manifests.py ${PROJECT_SOURCE_DIR})
add_test(NAME integration/deploy_kubectl COMMAND ${PYTHON3} ${deploy_tests}/kubectl.py ${PROJECT_SOURCE_DIR})
set(names integration/deploy_manifests integration/deploy_kubectl)
if(TARGET http_fake_server)
    add_test(NAME integration/deploy_monitoring
        COMMAND ${PYTHON3} ${deploy_tests}/monitoring.py ${PROJECT_SOURCE_DIR} $<TARGET_FILE:http_fake_server>)
    list(APPEND names integration/deploy_monitoring)
endif()
# Libraries with a sanitizer cannot be preloaded into programs without.
if(TARGET divvyd AND TARGET throughput AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/deploy_register COMMAND ${deploy_tests}/register.sh ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR})
    list(APPEND names integration/deploy_register)
endif()
set_tests_properties(${names} PROPERTIES LABELS integration TIMEOUT 180 SKIP_RETURN_CODE 77 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
