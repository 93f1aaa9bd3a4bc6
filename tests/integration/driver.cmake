# The simulated driver, family by family: programs linked with the built libcuda.so.1, each on a machine of its own.
foreach(family names context code order memory pool vmm graph capture processes checkpoint)
    add_executable(driver_${family} ${CMAKE_CURRENT_LIST_DIR}/driver/${family}.c)
    target_link_libraries(driver_${family} PRIVATE divvy_flags divvy_cuda simgpu_cuda pthread dl)
    set_target_properties(driver_${family} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME integration/driver_${family}
        COMMAND ${CMAKE_CURRENT_LIST_DIR}/driver/run.sh $<TARGET_FILE:driver_${family}> $<TARGET_FILE_DIR:simgpu_cuda>)
    set_tests_properties(integration/driver_${family} PROPERTIES LABELS integration TIMEOUT 120 SKIP_RETURN_CODE 77)
endforeach()
add_test(NAME integration/driver_ffmpeg
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/driver/ffmpeg.sh $<TARGET_FILE_DIR:simgpu_cuda> ${DIVVY_SANITIZE})
set_tests_properties(integration/driver_ffmpeg PROPERTIES LABELS integration TIMEOUT 60 SKIP_RETURN_CODE 77)
