#include "call.h"
#include "life.h"

/* Blocks counted in one section. */
#define SECTION_BLOCKS 4096u

static void count_record(const struct idem__op *op, const struct idem__block *block,
                         struct idem_stats *stats)
{
    const struct record_shm *record = (const struct record_shm *)(const void *)block->content;
    uint64_t life = idem__load64(&record->life);
    if (idem__life_expired(record, life, op->now_ms)) {
        return;
    }
    switch (idem__life_state(life)) {
    case LIFE_PENDING:
        stats->pending_keys++;
        break;
    case LIFE_ORPHANED:
        stats->orphaned_keys++;
        break;
    case LIFE_DONE:
        stats->done_keys++;
        break;
    default:
        break;
    }
}

static void count_slab(struct idem__op *op, uint32_t slab, struct idem_stats *stats)
{
    struct idem__block block;
    uint32_t index = 0;
    bool more = true;
    while (more) {
        idem__op_enter(op);
        uint64_t state = idem__load64(&op->region->slab_table[slab].state);
        enum idem__family family = idem__slab_family(state);
        for (uint32_t i = 0; i < SECTION_BLOCKS && more; i++, index++) {
            more = idem__block_at(op->region, idem__block_number(slab, index), family, &block);
            uint64_t word = more ? idem__load64(block.word) : 0;
            if (more &&
                (idem__block_state(word) == BLOCK_LIVE || idem__block_state(word) == BLOCK_TAKEN)) {
                stats->used_bytes += block.klass->block_bytes;
                *(family == FAMILY_RECORD ? &stats->record_blocks : &stats->value_blocks) += 1;
                if (family == FAMILY_RECORD && idem__block_state(word) == BLOCK_LIVE) {
                    count_record(op, &block, stats);
                }
            } else if (more && idem__block_state(word) == BLOCK_RETIRED) {
                stats->retired_blocks++;
            }
        }
        idem__op_leave(op);
    }
}

int idem_stats(idem_store *store, struct idem_stats *stats)
{
    struct idem__op op;
    int status = idem__call_begin(store, false, &op);
    if (status) {
        return status;
    }
    if (!stats || stats->size != sizeof *stats) {
        status = idem__fail(IDEM_EINVAL,
                            "stats: %s; set its size field to sizeof(struct idem_stats) = %zu",
                            stats ? "has another size" : "is NULL", sizeof *stats);
        idem__call_end(&op);
        return status;
    }
    struct idem__region *region = op.region;
    const struct header_shm *header = region->header;
    uint64_t slab_bytes = (uint64_t)1 << region->slab_shift;
    *stats = (struct idem_stats){
        .size = sizeof *stats,
        .version = header->version,
        .max_bytes = idem__load64(&header->max_bytes),
        .ceiling_bytes = idem__region_ceiling_bytes(region->slab_shift),
        .slab_bytes = slab_bytes,
        .slabs = idem__slab_high(region),
        .slabs_max = idem__load32(&header->slab_limit),
        .buckets = (uint64_t)1 << (idem__load32(&header->buckets_log2) & 31),
        .key_max = IDEM_KEY_MAX,
        .value_max = region->max_value_bytes,
        .intent_max = region->classes[region->class_count - 1].block_bytes -
                      idem__record_bytes(IDEM_KEY_MAX, true, 0),
        .slots_max = IDEM__SLOTS_MAX,
        .epoch = idem__load64(&header->epoch),
        .owners_issued = idem__load32(&header->next_owner) - 1u,
    };
    uint64_t tables = IDEM__SLOT_OFF +
                      idem__align_up(idem__load32(&header->slot_high) * sizeof(struct slot_shm),
                                     IDEM__PAGE_BYTES) +
                      idem__align_up(stats->slabs * sizeof(struct slab_shm), IDEM__PAGE_BYTES);
    stats->allocated_bytes = tables;
    for (uint32_t slab = 0; slab < stats->slabs; slab++) {
        switch (idem__slab_state(idem__load64(&region->slab_table[slab].state))) {
        case SLAB_UNUSED:
        case SLAB_PUNCH:
            stats->slabs_free++;
            break;
        case SLAB_DRAINING:
            stats->slabs_free++;
            stats->allocated_bytes += slab_bytes;
            break;
        case SLAB_INDEX:
            stats->used_bytes += slab_bytes;
            stats->allocated_bytes += slab_bytes;
            break;
        default:
            stats->allocated_bytes += slab_bytes;
            count_slab(&op, slab, stats);
        }
    }
    idem__epoch_slots(region, &stats->slots_used, &stats->epoch_laggards);
    stats->now_ms = (int64_t)idem__clock_now_ms(region);
    idem__call_end(&op);
    return IDEM_OK;
}
