# divvy's limiter at the pod file of a hypervisor that is not divvyd, which is played. Sanitized libraries cannot be preloaded.
if(TARGET limiter_test_cu AND TARGET divvy_limiter_so AND NOT DIVVY_SANITIZE)
    find_program(PYTHON3 python3 REQUIRED)
    add_executable(foreign_hypervisor ${CMAKE_CURRENT_LIST_DIR}/foreign/hypervisor.c)
    target_link_libraries(foreign_hypervisor PRIVATE limiter_test_cu m)
    add_executable(foreign_work ${CMAKE_CURRENT_LIST_DIR}/foreign/work.c)
    target_link_libraries(foreign_work PRIVATE limiter_test_cu)
    set_target_properties(foreign_hypervisor foreign_work PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME integration/limiter_foreign
        COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/foreign/foreign.py ${CMAKE_BINARY_DIR})
    set_tests_properties(integration/limiter_foreign PROPERTIES LABELS integration TIMEOUT 200 RUN_SERIAL TRUE
        ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
