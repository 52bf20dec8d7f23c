# SPDX-License-Identifier: Apache-2.0
# Tests in bash over the built programs: whole nodes with real guests. Root.
foreach(program daemon_start await_end reaper)
    add_executable(test.support.${program} ${PROJECT_SOURCE_DIR}/tests/support/${program}.c)
    target_link_libraries(test.support.${program} PRIVATE drover_flags)
endforeach()
add_executable(test.support.lossy ${PROJECT_SOURCE_DIR}/tests/support/lossy.c
    ${PROJECT_SOURCE_DIR}/tests/support/lossy_pair.c)
target_include_directories(test.support.lossy PRIVATE ${PROJECT_SOURCE_DIR}/tests/support)
target_link_libraries(test.support.lossy PRIVATE drover_base drover_flags)
# A guest's root that wants out: it runs in guests of any kind.
add_executable(test.support.hostile ${PROJECT_SOURCE_DIR}/tests/support/hostile.c
    ${PROJECT_SOURCE_DIR}/tests/support/hostile_helpers.c
    ${PROJECT_SOURCE_DIR}/tests/support/hostile_hold.c
    ${PROJECT_SOURCE_DIR}/tests/support/hostile_named.c
    ${PROJECT_SOURCE_DIR}/tests/support/hostile_rage.c)
target_link_libraries(test.support.hostile PRIVATE drover_plain_flags)
target_link_options(test.support.hostile PRIVATE -static)
# What systemd before 230 does with cgroups, as an init.
add_executable(test.support.old_systemd ${PROJECT_SOURCE_DIR}/tests/support/old_systemd.c)
target_link_libraries(test.support.old_systemd PRIVATE drover_plain_flags)
target_link_options(test.support.old_systemd PRIVATE -static)
function(drover_script name timeout)
    if(EXISTS ${PROJECT_SOURCE_DIR}/tests/integration/${name}.sh)
        add_test(NAME integration.${name} COMMAND bash
            ${PROJECT_SOURCE_DIR}/tests/integration/${name}.sh ${CMAKE_BINARY_DIR})
        set_tests_properties(integration.${name} PROPERTIES SKIP_RETURN_CODE 77
            TIMEOUT ${timeout} LABELS integration)
    endif()
endfunction()
drover_script(life 120)
drover_script(systemd 240)
# A guest each, side by side.
foreach(guest sysvinit openrc runit)
    add_test(NAME integration.families.${guest} COMMAND bash
        ${PROJECT_SOURCE_DIR}/tests/integration/families.sh ${CMAKE_BINARY_DIR} ${guest})
    set_tests_properties(integration.families.${guest} PROPERTIES SKIP_RETURN_CODE 77
        TIMEOUT 120 LABELS integration)
endforeach()
drover_script(old_systemd 120)
drover_script(readiness 120)
drover_script(stop_instants 240)
add_test(NAME integration.stop_instants.full
    COMMAND bash ${PROJECT_SOURCE_DIR}/tests/integration/stop_instants.sh ${CMAKE_BINARY_DIR} full)
set_tests_properties(integration.stop_instants.full PROPERTIES
    SKIP_RETURN_CODE 77 TIMEOUT 1200 LABELS "integration;plain;full")
set_property(TEST integration.stop_instants APPEND PROPERTY LABELS plain)
drover_script(verbs 180)
drover_script(storm 180)
drover_script(adoption 300)
drover_script(ends 120)
drover_script(away 180)
drover_script(lossy 180)
drover_script(adoption_console 180)
drover_script(adoption_rows 180)
drover_script(units 180)
drover_script(refusals 180)
drover_script(hooks 120)
drover_script(hooks_inside 120)
drover_script(import 120)
drover_script(contract 120)
drover_script(contract_requests 60)
drover_script(contract_nodes 60)
drover_script(restored 90)
drover_script(many 120)
drover_script(results 120)
drover_script(leaving 60)
drover_script(hostile 180)
drover_script(holds 180)
drover_script(hostile_rage 240)
drover_script(isolation 120)
drover_script(set 120)
set_property(TEST integration.ends integration.away integration.lossy integration.many
    integration.results integration.leaving APPEND PROPERTY LABELS plain)
# Under instruments in --full alone: what daemons do in these, they do in the others too.
set_property(TEST integration.adoption_console integration.contract integration.contract_nodes
    integration.families.sysvinit integration.families.openrc integration.families.runit
    integration.hooks_inside integration.hostile integration.hostile_rage
    integration.isolation integration.old_systemd integration.restored integration.systemd
    APPEND PROPERTY LABELS full_instrumented)
set_property(TEST integration.life APPEND PROPERTY LABELS threads)
# Run on Debian's own kernel with pure cgroup v2, too. Not integration.systemd: conformance 18, 23
# and 59 say the same there, and each guest with systemd takes a minute.
set_property(TEST integration.life integration.storm integration.refusals
    integration.adoption_rows integration.restored integration.hostile
    integration.hostile_rage integration.holds integration.isolation integration.readiness
    integration.families.sysvinit integration.set APPEND PROPERTY LABELS vm)
set_property(TEST integration.units APPEND PROPERTY LABELS plain)

# Each boundary once; --full: at its second and third crossing, too.
drover_script(faults_boundaries 300)
set_property(TEST integration.faults_boundaries APPEND PROPERTY LABELS plain)
foreach(crossing 2 3)
    add_test(NAME integration.faults_boundaries.${crossing}
        COMMAND bash ${PROJECT_SOURCE_DIR}/tests/integration/faults_boundaries.sh
            ${CMAKE_BINARY_DIR} ${crossing})
    set_tests_properties(integration.faults_boundaries.${crossing} PROPERTIES
        SKIP_RETURN_CODE 77 TIMEOUT 300 LABELS "integration;plain;full")
endforeach()

# A sample of the system calls that can be refused; --full: each.
drover_script(faults_syscalls 300)
drover_script(faults_disk 120)
set_property(TEST integration.faults_syscalls integration.faults_disk APPEND PROPERTY LABELS plain)
add_test(NAME integration.faults_syscalls.all COMMAND bash
    ${PROJECT_SOURCE_DIR}/tests/integration/faults_syscalls.sh ${CMAKE_BINARY_DIR} all)
set_tests_properties(integration.faults_syscalls.all PROPERTIES
    SKIP_RETURN_CODE 77 TIMEOUT 2400 LABELS "integration;plain;full")

# The keeper of another build: the same objects, another build id.
if(TARGET drover-keeper)
    get_target_property(keeper_sources drover-keeper SOURCES)
    set(keeper_paths "")
    foreach(source ${keeper_sources})
        if(NOT IS_ABSOLUTE ${source})
            set(source ${PROJECT_SOURCE_DIR}/agent/keeper/${source})
        endif()
        list(APPEND keeper_paths ${source})
    endforeach()
    add_executable(test.support.drover-keeper-next ${keeper_paths})
    target_include_directories(test.support.drover-keeper-next PRIVATE
        ${PROJECT_SOURCE_DIR}/agent/keeper ${PROJECT_SOURCE_DIR}/core/base)
    target_link_libraries(test.support.drover-keeper-next PRIVATE drover_plain_flags)
    target_compile_options(test.support.drover-keeper-next PRIVATE -ffunction-sections)
    target_link_options(test.support.drover-keeper-next PRIVATE -static -Wl,--gc-sections
        -Wl,--build-id=0x6e6578740000000000000000000000000000)
endif()
