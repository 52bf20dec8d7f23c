# SPDX-License-Identifier: Apache-2.0
if(TARGET drover_database)
    drover_test(unit/database drover_database)
endif()
