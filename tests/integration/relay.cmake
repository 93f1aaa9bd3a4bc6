# divvy-relay between clients of virtual machines and a worker that is played.
find_program(PYTHON3 python3)
if(PYTHON3 AND TARGET divvy-relay)
    add_test(NAME integration/relay_pipeline
        COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/pipeline.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_pipeline PROPERTIES LABELS integration TIMEOUT 300 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
    if(DIVVY_SANITIZE) # which keep what was freed
        set_tests_properties(integration/relay_pipeline PROPERTIES ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;GROWTH_KIB=524288")
    endif()
endif()
if(PYTHON3 AND TARGET divvy-relay)
    add_test(NAME integration/relay_ring COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/ring.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_ring PROPERTIES LABELS integration TIMEOUT 300 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
if(PYTHON3 AND TARGET divvy-relay AND TARGET divvy-worker AND TARGET divvy-client AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/relay_ring_frames
        COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/ring.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_ring_frames PROPERTIES LABELS integration TIMEOUT 300
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIVVY_BIN=${CMAKE_BINARY_DIR}/bin")
endif()
if(PYTHON3 AND TARGET divvy-relay)
    add_test(NAME integration/relay_admin
        COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/admin.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_admin PROPERTIES LABELS integration TIMEOUT 300
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIVVY=$<TARGET_FILE:divvy>")
endif()
if(PYTHON3 AND TARGET divvy-relay)
    add_test(NAME integration/relay_frames COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/frames.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_frames PROPERTIES LABELS integration TIMEOUT 300
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIVVY=$<TARGET_FILE:divvy>")
endif()
if(PYTHON3 AND TARGET divvy-relay)
    add_test(NAME integration/relay_xen COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/xen.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_xen PROPERTIES LABELS integration TIMEOUT 300
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIVVY_CLIENT=${CMAKE_BINARY_DIR}/bin/divvy-client")
    add_test(NAME integration/relay_xen_tools
        COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/xen.py $<TARGET_FILE:divvy-relay> tools_of_debian)
    set_tests_properties(integration/relay_xen_tools PROPERTIES LABELS integration TIMEOUT 60 SKIP_RETURN_CODE 77
        ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
if(PYTHON3 AND TARGET divvy-relay AND TARGET divvy-worker AND TARGET divvy-client AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/relay_whole COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/whole.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_whole PROPERTIES LABELS integration TIMEOUT 300
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIVVY_BIN=${CMAKE_BINARY_DIR}/bin")
endif()
# The same with kills at random moments, and with a QEMU that is played behind the stub.
if(PYTHON3 AND TARGET divvy-relay AND TARGET divvy-worker AND TARGET divvy-client AND TARGET divvy-vgpu-stub AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/relay_kills COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/kills.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_kills PROPERTIES LABELS integration TIMEOUT 300
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIVVY_BIN=${CMAKE_BINARY_DIR}/bin;DIVVY_FAKE_QEMU=${CMAKE_BINARY_DIR}/tests/vgpu_fake_qemu")
endif()
if(PYTHON3 AND TARGET divvy-relay AND TARGET divvy-worker AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/relay_load COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/load.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_load PROPERTIES LABELS integration TIMEOUT 300
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIVVY_BIN=${CMAKE_BINARY_DIR}/bin")
endif()
if(PYTHON3 AND TARGET divvy-relay AND TARGET divvyd AND TARGET simgpu_nvml)
    add_test(NAME integration/relay_agent
        COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/agent.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_agent PROPERTIES LABELS integration TIMEOUT 300
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIVVY=$<TARGET_FILE:divvy>;DIVVYD=$<TARGET_FILE:divvyd>;DIVVY_BIN=${CMAKE_BINARY_DIR}/bin;DIVVY_FAKE_QEMU=${CMAKE_BINARY_DIR}/tests/vgpu_fake_qemu")
endif()
# CloudStack's machines: an imitated management server, divvyd and a relay.
if(PYTHON3 AND TARGET divvy-relay AND TARGET divvyd AND TARGET simgpu_nvml)
    add_test(NAME integration/relay_cloudstack
        COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/cloud.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_cloudstack PROPERTIES LABELS integration TIMEOUT 300
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIVVY=$<TARGET_FILE:divvy>;DIVVYD=$<TARGET_FILE:divvyd>")
endif()
if(PYTHON3 AND TARGET divvy-relay AND TARGET divvy-worker AND NOT DIVVY_SANITIZE)
    add_test(NAME integration/relay_gpus COMMAND ${PYTHON3} ${CMAKE_CURRENT_LIST_DIR}/relay_parts/gpus.py $<TARGET_FILE:divvy-relay>)
    set_tests_properties(integration/relay_gpus PROPERTIES LABELS integration TIMEOUT 300
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIVVY=$<TARGET_FILE:divvy>;DIVVY_BIN=${CMAKE_BINARY_DIR}/bin")
endif()
