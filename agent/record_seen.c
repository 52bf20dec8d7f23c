/* SPDX-License-Identifier: Apache-2.0 */
#include "record_seen.h"

bool record_is_final(const struct kw_record *record)
{
    return record->phase == KW_PHASE_ENDED || record->phase == KW_PHASE_FAILED;
}

static bool was_executed(const struct kw_record *record)
{
    return record->phase == KW_PHASE_BOOTED || record->phase == KW_PHASE_ENDED;
}

static struct observation *add(struct record_news *news, const struct kw_record *record,
                               enum ct_input kind)
{
    struct observation *seen = &news->list[news->count++];

    *seen = (struct observation){.kind = kind, .generation = record->labels.generation};
    return seen;
}

static void add_end(struct record_news *news, const struct kw_record *record)
{
    bool is_ended = record->phase == KW_PHASE_ENDED;
    struct observation *seen = add(news, record, is_ended ? IN_ENDED : IN_LAUNCH_FAILED);

    seen->at_ns = record->ended_ns;
    seen->at_wall_ns = record->ended_wall_ns;
    if (!is_ended)
        return;
    seen->has_status = record->is_status_known != 0;
    seen->wait_status = record->wait_status;
}

void record_observe(struct record_seen *seen, const struct kw_record *record, const struct now *now,
                    struct record_news *ret_news)
{
    bool is_final = record_is_final(record);

    ret_news->count = 0;
    ret_news->ack = RECORD_ACK_NONE;
    if (record->change < seen->change)
        return;
    seen->change = record->change;
    if (was_executed(record) && !seen->is_booted) {
        struct observation *booted = add(ret_news, record, IN_BOOTED);

        seen->is_booted = true;
        booted->pid = record->pid;
        booted->at_ns = record->exec_ns;
        booted->at_wall_ns = now->wall_ns - (now->ns - record->exec_ns);
    }
    if (record->is_ready != 0 && !seen->is_ready) {
        seen->is_ready = true;
        (void)add(ret_news, record, IN_READY);
    }
    if (record->is_stopping != 0)
        seen->is_stopping = true;
    if (!is_final) {
        ret_news->ack = RECORD_ACK_NOW;
    } else if (!seen->is_ended) {
        seen->is_ended = true;
        add_end(ret_news, record);
        ret_news->ack = RECORD_ACK_OWED;
    }
}

void record_adopt(struct record_seen *seen, const struct kw_record *record, bool is_ready)
{
    seen->is_booted = was_executed(record);
    seen->is_ready = is_ready || record->is_ready != 0;
    seen->is_ended = record_is_final(record);
}
