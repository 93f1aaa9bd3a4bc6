# divvyd's pod files, used by a program that does what limiters of other systems do.
if(TARGET limiter_test_cu AND TARGET divvyd)
    find_program(PYTHON3 python3 REQUIRED)
    add_executable(podfiles_foreign ${CMAKE_CURRENT_LIST_DIR}/podfiles/foreign.c)
    target_link_libraries(podfiles_foreign PRIVATE limiter_test_cu divvy_page)
    set_target_properties(podfiles_foreign PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME integration/podfiles
        COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/podfiles/podfiles.py $<TARGET_FILE:divvyd> $<TARGET_FILE:podfiles_foreign>
            ${CMAKE_BINARY_DIR}/lib/simgpu)
    set_tests_properties(integration/podfiles PROPERTIES LABELS integration TIMEOUT 120 RUN_SERIAL TRUE
        ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
