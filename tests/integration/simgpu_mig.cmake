# Programs on the MIG devices of the simulated GPU.
add_executable(mig_guest ${CMAKE_CURRENT_LIST_DIR}/simgpu_mig/guest.c)
target_link_libraries(mig_guest PRIVATE divvy_flags divvy_cuda simgpu_cuda pthread dl)
set_target_properties(mig_guest PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
foreach(part visible old_driver speed memory killed)
    add_test(NAME integration/simgpu_mig_${part}
        COMMAND ${CMAKE_CURRENT_LIST_DIR}/simgpu_mig/mig.sh ${part} $<TARGET_FILE:mig_guest> $<TARGET_FILE_DIR:simgpu_cuda>
                $<TARGET_FILE:divvy-sim>)
    set_tests_properties(integration/simgpu_mig_${part} PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77)
endforeach()

# The limiter on them; a library built with a sanitizer cannot be preloaded into a program built without.
if(NOT DIVVY_SANITIZE)
    foreach(part limits daemon)
        add_test(NAME integration/simgpu_mig_${part}
            COMMAND ${CMAKE_CURRENT_LIST_DIR}/simgpu_mig/mig.sh ${part} $<TARGET_FILE:mig_guest> $<TARGET_FILE_DIR:simgpu_cuda>
                    $<TARGET_FILE:divvy-sim>)
        set_tests_properties(integration/simgpu_mig_${part} PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77)
    endforeach()
endif()
