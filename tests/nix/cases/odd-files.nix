# Fails in buildCommand, and leaves every kind of file that is hard to copy.
# Repair: succeed = true;
# Inside: chmod -R u+rwx odd; rm -rf odd; phase succeed=1
{ pkgs ? import ../stdenv.nix { }, repaired ? false }:

pkgs.mkDerivation {
  name = "odd-files-1.0";
  succeed = repaired;
  socket = ''
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/un.h>

    int main(void)
    {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        strcpy(address.sun_path, "socket");
        return bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address);
    }
  '';
  passAsFile = [ "socket" ];
  buildCommand = ''
    mkdir odd odd/empty odd/closed odd/read-only
    cd odd
    mkfifo fifo
    gcc -x c -o make-socket "$socketPath"
    ./make-socket
    echo linked > one-name
    ln one-name another-name
    echo secret > unreadable
    chmod 0000 unreadable
    echo inside > closed/inside
    chmod 0000 closed
    echo inside > read-only/inside
    chmod 0555 read-only
    echo newline > $'a\nb'
    echo latin > $'caf\xe9'
    echo dash > -rf
    echo space > ' '
    ln -s /etc/passwd passwd
    ln -s ../../../../../../../../etc/passwd passwd-above
    ln -s /nowhere dangling
    ln -s loop loop
    truncate -s 1G sparse
    printf end >> sparse
    : > empty-file
    echo run > run
    chmod 0755 run
    touch -d '1999-12-31 23:59:59.123456789' old
    [[ -n $succeed ]]
    echo done > $out
  '';
}
