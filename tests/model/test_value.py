"""A value is fixed for good when it is made, and equal to what holds the same."""

from __future__ import annotations

import pytest

from sandbox.model.value import Value


class Link(Value):
    path: str
    target: str = "there"


class Marked(Link):
    mark: int = 0


class Other(Value):
    path: str
    target: str = "there"


def test_a_field_cannot_be_set_or_deleted():
    link = Link(path="/a")
    with pytest.raises(AttributeError, match="Link is frozen"):
        link.path = "/b"
    with pytest.raises((AttributeError, TypeError)):
        del link.path


@pytest.mark.parametrize("given", [{}, {"target": "x"}, {"path": "/a", "colour": "red"}])
def test_fields_that_are_missing_or_unknown_are_named(given):
    with pytest.raises(TypeError, match="Link: missing"):
        Link(**given)


def test_equal_values_are_equal_keys():
    assert {Link(path="/a"): 1}[Link(path="/a", target="there")] == 1
    assert Link(path="/a") != Link(path="/b")


def test_values_of_two_classes_are_never_equal():
    assert Link(path="/a") != Other(path="/a")


def test_replacing_leaves_the_first_as_it_was():
    link = Link(path="/a")
    assert link.replace(path="/b") == Link(path="/b")
    assert link == Link(path="/a")


def test_replacing_an_unknown_field_is_an_error():
    with pytest.raises(TypeError, match="unknown"):
        Link(path="/a").replace(colour="red")


def test_a_class_inherits_fields_and_their_defaults_in_order():
    assert Marked(path="/a", mark=3).fields() == {"path": "/a", "target": "there", "mark": 3}
    assert repr(Marked(path="/a")) == "Marked(path='/a', target='there', mark=0)"
