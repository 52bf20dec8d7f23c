# SPDX-License-Identifier: Apache-2.0
if(TARGET drover_ctl_store)
    drover_test(unit/ingest drover_ctl_store)
endif()
