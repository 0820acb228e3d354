/* What has to stand at the current token of a description, or of values in text form. */
#include "ic/did_impl.h"

#include <stdio.h>

#define SHOWN 48

/* What stands there, in words for a message. */
static void show(const struct did_lexer *lex, char shown[SHOWN])
{
    const struct did_token *token = &lex->token;
    if (token->kind == DID_END)
        snprintf(shown, SHOWN, "%s", did_spelling(DID_END));
    else
        snprintf(shown, SHOWN, "'%.*s%s", (int)(token->len > 36 ? 36 : token->len),
                 (const char *)lex->source->text.bytes + token->pos, token->len > 36 ? "..." : "'");
}

int did_expected(const struct did_lexer *lex, const char *what)
{
    char shown[SHOWN];
    show(lex, shown);
    return did_fail(lex->err, lex->source, lex->token.pos, "expected %s, found %s", what, shown);
}

int did_expect(struct did_lexer *lex, enum did_token_kind kind)
{
    return lex->token.kind == kind ? did_lex_next(lex) : did_expected(lex, did_spelling(kind));
}

int did_expect_separator(struct did_lexer *lex, enum did_token_kind separator,
                         enum did_token_kind end)
{
    char what[32];
    if (lex->token.kind == separator)
        return did_lex_next(lex);
    if (lex->token.kind == end)
        return 0;
    snprintf(what, sizeof(what), "%s or %s", did_spelling(separator), did_spelling(end));
    return did_expected(lex, what);
}
