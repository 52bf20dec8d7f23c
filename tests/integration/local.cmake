# SPDX-License-Identifier: Apache-2.0
if(TARGET drover_local)
    drover_test(integration/local drover_local)
endif()
