# Pods of a cluster that is played (tests/fakes/kube): their life with the limiter, a cluster that does everything wrong, random events.
# DIVVY_TEST_EVENTS=10000 for a long random life.
if(TARGET divvyd AND TARGET simgpu_nvml)
    find_program(PYTHON3 python3 REQUIRED)
    set(kube_tests ${CMAKE_CURRENT_LIST_DIR}/kube)
    set(kube_environment PYTHONDONTWRITEBYTECODE=1)
    if(DIVVY_SANITIZE)
        list(APPEND kube_environment DIVVY_SANITIZED=1)
    endif()
    foreach(part trouble random)
        add_test(NAME integration/pods_${part} COMMAND ${PYTHON3} ${kube_tests}/faults.py ${CMAKE_BINARY_DIR}/bin ${part})
        set_tests_properties(integration/pods_${part} PROPERTIES LABELS integration TIMEOUT 300 ENVIRONMENT "${kube_environment}")
    endforeach()
    if(TARGET compute_load AND NOT DIVVY_SANITIZE)
        add_test(NAME integration/pods_life
            COMMAND ${PYTHON3} ${kube_tests}/life.py ${CMAKE_BINARY_DIR}/bin ${CMAKE_BINARY_DIR}/lib ${CMAKE_BINARY_DIR}/tests)
        set_tests_properties(integration/pods_life PROPERTIES LABELS integration TIMEOUT 180 SKIP_RETURN_CODE 77 RUN_SERIAL TRUE
            ENVIRONMENT "${kube_environment}")
    endif()
endif()
