/* A user's program: one request, and its retry. */
#include <idemkey_http.h>
#include <stdio.h>
#include <string.h>

static const char config[] = "{\"profile\": \"ietf\", \"principal\": null}";
static const char fields[] = "Idempotency-Key: \"k\"\r\n";

static int ask(idem_http *http, idem_http_exchange **exchange, struct idem_http_decision *decision)
{
    idem_http_decision_init(decision, sizeof *decision);
    return idem_http_begin(http, "POST", 4, "/payouts", 8, "", 0, fields, strlen(fields), NULL,
                           IDEM_HTTP_NO_ONE, exchange, decision) ||
           idem_http_body(*exchange, "{}", 2, decision) || idem_http_decide(*exchange, decision);
}

int main(int argc, char **argv)
{
    idem_store *store;
    idem_http *http;
    idem_http_exchange *exchange;
    struct idem_http_decision decision;
    char err[256];

    if (argc != 2 || idem_open(argv[1], NULL, &store))
        return 1;
    if (idem_http_new(store, config, strlen(config), &http, err, sizeof err)) {
        puts(err);
        return 1;
    }
    if (ask(http, &exchange, &decision))
        return 1;
    puts(idem_http_action_name(decision.action));
    if (idem_http_response(exchange, 201, "", 0, 0, &decision) ||
        idem_http_data(exchange, "made", 4, &decision) || idem_http_finish(exchange, &decision))
        return 1;
    puts(idem_http_action_name(decision.action));
    idem_http_free(exchange);
    if (ask(http, &exchange, &decision))
        return 1;
    printf("%s %d %.*s\n", idem_http_action_name(decision.action), (int)decision.status,
           (int)decision.body_len, (const char *)decision.body);
    idem_http_free(exchange);
    idem_http_delete(http);
    return idem_close(store) != IDEM_OK;
}
