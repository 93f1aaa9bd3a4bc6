# divvy with divvyd and the limiter, where all are built, and can be loaded together.
if(TARGET divvy_limiter_so AND TARGET simgpu_cuda AND TARGET divvyd AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/cli_live COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli_live.sh ${CMAKE_BINARY_DIR})
    set_tests_properties(integration/cli_live PROPERTIES LABELS integration TIMEOUT 180 SKIP_RETURN_CODE 77)
endif()
# The examples on the simulated GPU, alone and as tenants, through divvy run and the limiter.
if(TARGET divvy_limiter_so AND TARGET simgpu_cuda)
    add_test(NAME integration/examples COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli_examples.sh ${CMAKE_BINARY_DIR}
        ${DIVVY_SANITIZE})
    set_tests_properties(integration/examples PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
