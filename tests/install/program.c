/* What the README shows, against the installed library: prints the outcomes and the version. */
#include <idemkey.h>
#include <stdio.h>
#include <string.h>

static int fail(const char *call)
{
    fprintf(stderr, "%s: %s\n", call, idem_last_error());
    return 1;
}

static int pay(idem_store *store)
{
    struct idem_request request;
    struct idem_claim claim;

    idem_request_init(&request, sizeof request);
    request.key = "payout-4711";
    request.key_len = strlen("payout-4711");
    idem_claim_init(&claim, sizeof claim);
    if (idem_claim(store, &request, &claim) != IDEM_OK)
        return fail("idem_claim");
    printf("%s", idem_outcome_name(claim.outcome));
    if (claim.outcome == IDEM_CLAIMED) {
        if (idem_complete(&claim, "paid", strlen("paid"), IDEM_TTL_SAME, 0) != IDEM_OK)
            return fail("idem_complete");
    } else if (claim.outcome == IDEM_DONE) {
        printf(" %.*s", (int)claim.record.value_len, (const char *)claim.record.value);
    }
    printf("\n");
    idem_record_free(&claim.record);
    return 0;
}

int main(int argc, char **argv)
{
    idem_store *store;

    if (argc != 2) {
        fprintf(stderr, "usage: program PATH\n");
        return 2;
    }
    if (idem_open(argv[1], NULL, &store) != IDEM_OK)
        return fail("idem_open");
    if (pay(store) != 0 || pay(store) != 0)
        return 1;
    printf("%s\n", idem_version());
    return idem_close(store) == IDEM_OK ? 0 : fail("idem_close");
}
