# SPDX-License-Identifier: Apache-2.0
if(TARGET drover_link)
    drover_test(integration/link drover_link drover_base)
    set_tests_properties(integration.link PROPERTIES TIMEOUT 120)
endif()
