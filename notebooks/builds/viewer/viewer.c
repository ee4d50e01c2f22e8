#include <stdio.h>

const char *driver_name(void);

int main(int count, char **arguments)
{
    (void)arguments;
    if (count > 1)
        puts("viewer 1.0");
    else
        printf("drawing with the driver: %s\n", driver_name());
    return 0;
}
