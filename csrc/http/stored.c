#include "http/stored.h"

#include <strings.h>

#include "http/field.h"

#define STORED_VERSION 1
#define HEAD_BYTES 8u

static void put_le(unsigned char *at, uint32_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        at[i] = (unsigned char)(number >> (8 * i));
    }
}

static uint32_t get_le(const unsigned char *at, size_t bytes)
{
    uint32_t number = 0;
    for (size_t i = 0; i < bytes; i++) {
        number |= (uint32_t)at[i] << (8 * i);
    }
    return number;
}

/* Does a Connection field of the response say that `name` is of the connection only? */
static bool is_of_connection(struct idem__span fields, struct idem__span name)
{
    struct idem__field field;
    while (idem__field_next(&fields, &field) == FIELD_GOT) {
        struct idem__span listed;
        while (idem__span_is_like(field.name, "connection") &&
               idem__field_list_next(&field.value, &listed)) {
            if (listed.len == name.len && strncasecmp(listed.at, name.at, name.len) == 0) {
                return true;
            }
        }
    }
    return false;
}

bool idem__stored_begin(struct idem__buffer *out, int32_t status, struct idem__span fields)
{
    unsigned char head[HEAD_BYTES] = {STORED_VERSION};
    struct idem__span rest = fields;
    struct idem__field field;
    enum idem__field_step step;
    bool has_connection = false;
    while ((step = idem__field_next(&rest, &field)) == FIELD_GOT) {
        has_connection = has_connection || idem__span_is_like(field.name, "connection");
    }
    if (step != FIELD_END || status < IDEM__STATUS_MIN || status > IDEM__STATUS_MAX ||
        fields.len > UINT32_MAX / 2) { /* written out they may be longer */
        return false;
    }
    idem__buffer_add(out, head, sizeof(head));
    for (rest = fields; idem__field_next(&rest, &field) == FIELD_GOT;) {
        if (idem__field_kept(field.name) &&
            !(has_connection && is_of_connection(fields, field.name))) {
            idem__field_add(out, field);
        }
    }
    if (!out->failed) {
        put_le((unsigned char *)out->at + 2, (uint32_t)status, 2);
        put_le((unsigned char *)out->at + 4, (uint32_t)(out->len - HEAD_BYTES), 4);
    }
    return true;
}

bool idem__stored_read(struct idem__span value, struct idem__stored *stored)
{
    const unsigned char *head = (const unsigned char *)value.at;
    if (value.len < HEAD_BYTES || head[0] != STORED_VERSION || head[1] != 0) {
        return false;
    }
    const uint32_t status = get_le(head + 2, 2);
    const size_t fields_len = get_le(head + 4, 4);
    if (status < IDEM__STATUS_MIN || status > IDEM__STATUS_MAX ||
        fields_len > value.len - HEAD_BYTES) {
        return false;
    }
    stored->status = (int32_t)status;
    stored->fields = idem__span(value.at + HEAD_BYTES, fields_len);
    stored->body = idem__span(stored->fields.at + fields_len, value.len - HEAD_BYTES - fields_len);
    struct idem__span rest = stored->fields;
    struct idem__field field;
    enum idem__field_step step;
    while ((step = idem__field_next(&rest, &field)) == FIELD_GOT) {
    }
    return step == FIELD_END;
}
