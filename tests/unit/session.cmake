# SPDX-License-Identifier: Apache-2.0
if(TARGET drover_session AND TARGET test_codec)
    drover_test(unit/session drover_session test_codec)
    drover_test(unit/session_wire drover_session)
    drover_test(unit/outbox drover_session)
endif()
