#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_ledger(const char *mode)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/.ledger", getenv("HOME"));
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    return file;
}

int main(int count, char **words)
{
    char name[64];
    int value, total = 0;

    if (count == 4 && strcmp(words[1], "add") == 0) {
        fprintf(open_ledger("a"), "%.63s %d\n", words[2], atoi(words[3]));
        return 0;
    }
    if (count == 3 && strcmp(words[1], "total") == 0) {
        FILE *ledger = open_ledger("r");
        while (fscanf(ledger, "%63s %d", name, &value) == 2)
            if (strcasecmp(name, words[2]) == 0)
                total += value;
        printf("%d\n", total);
        return 0;
    }
    fputs("usage: ledger add NAME VALUE | total NAME\n", stderr);
    return 2;
}
