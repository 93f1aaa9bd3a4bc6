# divvy mig and the discovery example, against a fake NVML and the simulated one.
if(TARGET mig_fake_nvml AND TARGET mig_discovery AND TARGET simgpu_nvml)
    add_test(NAME integration/mig
        COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/mig.sh $<TARGET_FILE:divvy> $<TARGET_FILE:mig_discovery> $<TARGET_FILE_DIR:mig_fake_nvml>)
    set_tests_properties(integration/mig PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77)
endif()
