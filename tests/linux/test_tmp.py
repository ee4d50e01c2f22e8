import pytest, os
@pytest.mark.terminal
def test_t(): pass
def test_a(nix_world, run_tool, unprivileged):
    f = nix_world.fail("check-phase"); print(f)
    for u in (None, unprivileged):
        d = run_tool("--store", f"{nix_world.root}/store", f.kept, "id", as_user=u); print(d)
    assert 0
def test_b(nix_world_with_build_users, run_tool, unprivileged):
    nix_world=nix_world_with_build_users
    f = nix_world.fail("check-phase"); print(f); os.system("ls -la "+f.kept)
    for u in (None, unprivileged):
        d = run_tool("--store", f"{nix_world.root}/store", f.kept, "id", as_user=u); print(d)
    assert 0
