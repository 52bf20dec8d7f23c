# SPDX-License-Identifier: Apache-2.0
# From the preset sim alone: instruments would only make it slower.
if(DROVER_SIM)
    foreach(part seeds regressions repeats no_fsync mutants full_seeds search cells)
        add_test(NAME sim.${part}
            COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/group ${part} ${CMAKE_BINARY_DIR})
        set_tests_properties(sim.${part} PROPERTIES LABELS sim TIMEOUT 600)
    endforeach()
    foreach(part seeds mutants) # have as many processes as there are processors
        set_tests_properties(sim.${part} PROPERTIES PROCESSORS 2)
    endforeach()
    set_tests_properties(sim.cells PROPERTIES DEPENDS sim.full_seeds)
    foreach(part full_seeds search cells) # hours
        set_tests_properties(sim.${part} PROPERTIES LABELS "sim;full" PROCESSORS 2 TIMEOUT 14400)
    endforeach()
endif()
