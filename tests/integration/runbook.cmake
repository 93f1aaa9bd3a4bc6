# The runbook's commands, as they stand.
find_program(PYTHON3 python3)
if(PYTHON3 AND TARGET divvy-relay AND TARGET divvy-worker AND TARGET divvy-client AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/runbook COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/runbook.py ${PROJECT_SOURCE_DIR}/docs/RUNBOOK.md
        ${CMAKE_BINARY_DIR}/bin ${PROJECT_SOURCE_DIR}/packaging/systemd)
    set_tests_properties(integration/runbook PROPERTIES LABELS integration TIMEOUT 180 SKIP_RETURN_CODE 77 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
