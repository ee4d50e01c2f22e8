#include <openssl/crypto.h>
#include <stdio.h>

int main(void)
{
    printf("sunny; asked with OpenSSL %lx\n", OpenSSL_version_num());
    return 0;
}
