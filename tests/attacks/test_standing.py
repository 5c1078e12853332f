import torch

from max_mahalanobis.attacks.standing import Standing


def rows(*numbers):
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1)


def test_settled_rows_leave_every_tensor_and_keep_what_was_found():
    standing = Standing(rows(0, 1, 2, 3), y=torch.arange(4), absent=None, x_adv=rows(10, 11, 12, 13))
    standing.settle(torch.tensor([True, False, True, False]), standing.x_adv)
    assert len(standing) == 2
    assert standing.y.tolist() == [1, 3]
    assert standing.absent is None
    standing.x_adv = standing.x_adv + 10
    standing.settle(torch.tensor([False, True]), standing.x_adv)
    assert standing.result(rows(99)).flatten().tolist() == [10, 99, 12, 23]


def test_images_never_improved_come_back_clean():
    standing = Standing(rows(0, 1), x_adv=rows(5, 6))
    standing.improve(torch.tensor([False, True]), standing.x_adv)
    assert standing.result().flatten().tolist() == [0, 6]


def test_the_callers_images_are_not_touched():
    x = rows(0, 1)
    standing = Standing(x, x_adv=rows(5, 6))
    standing.settle(torch.tensor([True, True]), standing.x_adv)
    assert len(standing) == 0
    standing.result()
    assert x.flatten().tolist() == [0, 1]


def test_where_rows_leave_late_nothing_changes_what_was_found(monkeypatch):
    """On an accelerator rows are dropped at every tenth call: played here on the CPU."""
    now, late = (Standing(rows(*range(6)), x_adv=rows(*range(6))) for _ in range(2))
    dropped = late._drop
    monkeypatch.setattr(late, "_drop", lambda: dropped() if late._calls % 3 == 0 else None)
    for step in range(5):
        for standing in (now, late):
            standing.x_adv = standing.x_adv + 10
            standing.settle(standing.place == step, standing.x_adv)
    assert len(late) == 3
    torch.testing.assert_close(now.result(now.x_adv), late.result(late.x_adv))


def test_rows_are_reset_where_asked_to_a_value_or_to_rows():
    at = Standing(torch.rand(3, 1, 2, 2), steps=torch.tensor([1.0, 2.0, 3.0]), w=torch.ones(3, 1, 2, 2))
    at.reset(torch.tensor([False, True, False]), steps=0.0, w=at.x)
    assert at.steps.tolist() == [1, 0, 3]
    assert torch.equal(at.w[1], at.x[1])
    assert (at.w[[0, 2]] == 1).all()
    before = at.w
    at.reset(torch.zeros(3, dtype=torch.bool), w=at.x)
    assert at.w is before
