set -e
./ledger add coffee 3
./ledger add Coffee 4
test "$(./ledger total coffee)" = 7
echo "ok: the ledger adds up"
