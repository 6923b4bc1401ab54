"""Knock's Python SDK through every group of calls, reading back what it wrote.

Called with the server's address, a secret key, the feed channel's id and the ids of two messages. Prints each call as
a line of JSON, and ends with an error at the first answer that is not what was written.
"""

import json
import sys

import httpx
import knockapi
from knockapi import Knock

URL, KEY, FEED, MESSAGE, OTHER = sys.argv[1:]
APNS = "0d8f7a1c-5f04-4c7e-9a0b-3f8a4f1b2c11"


def note(response):
    request = response.request
    call = {"agent": request.headers["user-agent"], "method": request.method, "path": request.url.raw_path.decode()}
    print(json.dumps({**call, "status": response.status_code}))


knock = Knock(api_key=KEY, base_url=URL, http_client=httpx.Client(event_hooks={"response": [note]}, trust_env=False))


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def refused(error, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except error as refusal:
        return refusal
    raise AssertionError(f"{call} was not refused")


def missing(call, *arguments, **named):
    refused(knockapi.NotFoundError, call, *arguments, **named)


def users():
    same(knock.users.update("py-ada", name="Ada", email="ada@x.test").name, "Ada")
    same(knock.users.get("py-ada").email, "ada@x.test")
    operation = knock.users.bulk.identify(users=[{"id": "py-bob", "name": "Bob"}, {"id": "py-cy"}])
    same(knock.bulk_operations.get(operation.id).success_count, 2)
    same(knock.users.get("py-bob").name, "Bob")
    assert {"py-ada", "py-bob", "py-cy"} <= {user.id for user in knock.users.list(page_size=2)}
    same(knock.users.merge("py-ada", from_user_id="py-bob").name, "Ada")
    missing(knock.users.get, "py-bob")
    knock.users.set_channel_data("py-ada", APNS, data={"tokens": ["t"]})
    same(knock.users.get_channel_data("py-ada", APNS).data.tokens, ["t"])
    knock.users.unset_channel_data("py-ada", APNS)
    missing(knock.users.get_channel_data, "py-ada", APNS)
    knock.users.bulk.delete(user_ids=["py-cy"])
    missing(knock.users.get, "py-cy")
    knock.users.delete("py-ada")
    missing(knock.users.get, "py-ada")


def preferences():
    for at, of, name in (("py-reader",), knock.users, "default"), (("py-rooms", "r"), knock.objects, "default"):
        put = of.set_preferences(*at, name, channel_types={"sms": False}, workflows={"alert": True})
        same(put.channel_types.sms, False)
        same(of.get_preferences(*at, name).workflows, {"alert": True})
        same([one.id for one in of.list_preferences(*at)], ["default"])
        of.unset_preferences(*at, name)
        same(of.get_preferences(*at, name).workflows, None)
    knock.users.bulk.set_preferences(user_ids=["py-reader"], preferences={"categories": {"c": False}})
    same(knock.users.get_preferences("py-reader", "default").categories, {"c": False})


def objects():
    of = knock.objects
    same(of.set("py-projects", "atlas", name="Atlas").properties["name"], "Atlas")
    same(of.get("py-projects", "atlas").id, "atlas")
    of.bulk.set("py-projects", objects=[{"id": "boreas"}, {"id": "ceres"}])
    same([one.id for one in of.list("py-projects", page_size=2)], ["atlas", "boreas", "ceres"])
    of.set_channel_data("py-projects", "atlas", APNS, data={"tokens": ["t"]})
    same(of.get_channel_data("py-projects", "atlas", APNS).data.tokens, ["t"])
    of.unset_channel_data("py-projects", "atlas", APNS)
    missing(of.get_channel_data, "py-projects", "atlas", APNS)
    of.bulk.delete("py-projects", object_ids=["boreas"])
    of.delete("py-projects", "ceres")
    same([one.id for one in of.list("py-projects")], ["atlas"])


def subscriptions():
    of = knock.objects
    other = {"collection": "py-rooms", "id": "r2"}
    of.add_subscriptions("py-rooms", "r1", recipients=["py-sub", other], properties={"role": "x"})
    page = of.list_subscriptions("py-rooms", "r1", recipients=["py-sub", other])
    same([(one.recipient.id, one.properties) for one in page.entries], [("py-sub", {"role": "x"}), ("r2", {"role": "x"})])
    same([one.object.id for one in of.list_subscriptions("py-rooms", "r2", mode="recipient").entries], ["r1"])
    same([one.object.id for one in knock.users.list_subscriptions("py-sub").entries], ["r1"])
    same(len(of.delete_subscriptions("py-rooms", "r1", recipients=["py-sub"])), 1)
    of.bulk.add_subscriptions("py-rooms", subscriptions=[{"id": "r3", "recipients": ["py-sub"]}])
    same([one.object.id for one in knock.users.list_subscriptions("py-sub").entries], ["r3"])
    of.bulk.delete_subscriptions("py-rooms", subscriptions=[{"id": "r3", "recipients": ["py-sub"]}])
    same(knock.users.list_subscriptions("py-sub").entries, [])


def tenants():
    of = knock.tenants
    of.set("py-acme", name="Acme", settings={"branding": {"primary_color": "#112233"}})
    same(of.get("py-acme", resolve_full_preference_settings=True).settings.branding.primary_color, "#112233")
    of.bulk.set(tenants=[{"id": "py-globex", "name": "Globex"}])
    same([one.id for one in of.list(name="Globex").entries], ["py-globex"])
    of.bulk.delete(tenant_ids=["py-globex"])
    missing(of.get, "py-globex")
    of.delete("py-acme")
    missing(of.get, "py-acme")


def schedules():
    of = knock.schedules
    rule = {"frequency": "weekly", "days": ["mon", "fri"], "hours": 9, "minutes": 30}
    made = of.create(workflow="alert", recipients=["py-early"], repeats=[rule], data={"text": "x"})
    ids = [one.id for one in made]
    same([str(day) for day in made[0].repeats[0].days], ["mon", "fri"])
    same(of.update(schedule_ids=ids, data={"text": "y"})[0].data, {"text": "y"})
    same([one.id for one in of.list(workflow="alert", recipients=["py-early"]).entries], ids)
    same([one.id for one in knock.users.list_schedules("py-early").entries], ids)
    same(knock.objects.list_schedules("py-rooms", "r1").entries, [])
    same([one.id for one in of.delete(schedule_ids=ids)], ids)
    operation = of.bulk.create(schedules=[{"workflow": "alert", "recipient": "py-early", "repeats": [rule]}])
    same((operation.status, len(knock.users.list_schedules("py-early").entries)), ("completed", 1))


def audiences():
    of = knock.audiences
    of.add_members("py-beta", members=[{"user": {"id": "py-member", "name": "M"}}], create_audience=True)
    same([(one.user_id, one.user.name) for one in of.list_members("py-beta").entries], [("py-member", "M")])
    of.remove_members("py-beta", members=[{"user": {"id": "py-member"}}])
    same(of.list_members("py-beta").entries, [])


def messages():
    of = knock.messages
    same(of.get(MESSAGE).id, MESSAGE)
    same([one.id for one in of.list(message_ids=[MESSAGE, OTHER]).items], [OTHER, MESSAGE])
    same([one.id for one in knock.users.list_messages("py-target", trigger_data='{"n":1}').items], [MESSAGE])
    same(knock.objects.list_messages("py-rooms", "r1").items, [])
    assert "one" in of.get_content(MESSAGE).data.blocks[0].rendered
    same(len(of.batch.get_content(message_ids=[MESSAGE, OTHER])), 2)
    same([one.data["n"] for one in of.list_activities(MESSAGE).items], [1])
    same([one.type for one in of.list_events(MESSAGE).items], ["message.delivered", "message.created"])
    same(of.list_delivery_logs(MESSAGE).items, [])
    for mark, undo, at in (
        ("mark_as_seen", "mark_as_unseen", "seen_at"),
        ("mark_as_read", "mark_as_unread", "read_at"),
        ("archive", "unarchive", "archived_at"),
    ):
        assert getattr(getattr(of, mark)(MESSAGE), at), mark
        same(getattr(getattr(of, undo)(MESSAGE), at), None)
        assert getattr(getattr(of.batch, mark)(message_ids=[MESSAGE])[0], at), mark
        same(getattr(getattr(of.batch, undo)(message_ids=[MESSAGE])[0], at), None)
    assert of.mark_as_interacted(MESSAGE, metadata={"type": "x"}).interacted_at
    assert of.batch.mark_as_interacted(message_ids=[MESSAGE], metadata={"type": "x"})[0].interacted_at
    operation = knock.channels.bulk.update_message_status(FEED, "seen", recipient_ids=["py-target"])
    same(operation.status, "completed")


def feeds():
    same([item.id for item in knock.users.feeds.list_items("py-target", FEED).entries], [OTHER, MESSAGE])
    same(knock.users.feeds.get_settings("py-target", FEED).features.branding_required, False)


def workflows():
    run = knock.workflows.trigger(
        "alert", recipients=[{"id": "py-run", "name": "Run"}], data={"text": "x", "link": "/"}, cancellation_key="py-key"
    )
    assert run.workflow_run_id
    knock.workflows.cancel("alert", cancellation_key="py-key", recipients=["py-run"])
    same(knock.users.get("py-run").name, "Run")


def runs():
    of = knock.workflow_recipient_runs
    (listed,) = of.list(recipient="py-run", workflow="alert").items
    run = of.get(listed.id)
    same((run.id, run.workflow, run.recipient, run.status in ("completed", "cancelled")), (listed.id, "alert", "py-run", True))
    same([one.id for one in of.list(recipient="py-run", status=["paused"]).items], [])
    missing(of.get, "00000000-0000-7000-8000-000000000000")


def absent():
    guides = knock.users.guides
    same(guides.get_channel("py-target", FEED).entries, [])
    guide = {"channel_id": FEED, "guide_key": "g", "guide_id": FEED, "guide_step_ref": "s"}
    same(guides.mark_message_as_seen("py-target", content={}, **guide).status, "ok")
    same(guides.mark_message_as_interacted("py-target", **guide).status, "ok")
    same(guides.mark_message_as_archived("py-target", **guide).status, "ok")
    same(guides.unarchive_guide_message("py-target", guide_key="g").status, "ok")
    same(guides.reset_guide_engagements("py-target", guide_key="g").status, "ok")
    denied = knockapi.PermissionDeniedError
    slack, teams = knock.providers.slack, knock.providers.ms_teams
    token = '{"object_id": "t", "collection": "$tenants"}'
    refused(denied, slack.check_auth, FEED, access_token_object=token)
    refused(denied, slack.list_channels, FEED, access_token_object=token)
    slack.revoke_access(FEED, access_token_object=token)
    refused(denied, teams.check_auth, FEED, ms_teams_tenant_object=token)
    refused(denied, teams.list_teams, FEED, ms_teams_tenant_object=token)
    refused(denied, teams.list_channels, FEED, ms_teams_tenant_object=token, team_id="x")
    teams.revoke_access(FEED, ms_teams_tenant_object=token)
    same(knock.integrations.census.custom_destination(id="1", jsonrpc="2.0", method="sync_batch").id, "1")
    same(knock.integrations.hightouch.embedded_destination(id="1", jsonrpc="2.0", method="sync_batch").id, "1")


def preference_center():
    of = knock.users.preference_center
    knock.users.update("py-chooser", email="chooser@x.test")
    config = of.get_config("py-chooser")
    same((config.enabled, config.user_email), (True, "chooser@x.test"))
    link = of.generate_signed_url("py-chooser")
    same(link.url.endswith(link.token), True)
    same(httpx.get(URL + httpx.URL(link.url).path, trust_env=False).status_code, 200)


def errors():
    invalid = refused(knockapi.UnprocessableEntityError, knock.workflows.trigger, "alert", recipients=[])
    same([fault["field"] for fault in invalid.body["errors"]], ["recipients"])
    wrong = Knock(api_key="sk_wrong", base_url=URL, http_client=httpx.Client(trust_env=False))
    same(refused(knockapi.AuthenticationError, wrong.users.get, "x").body["code"], "api_key_missing")
    missing(knock.workflows.trigger, "unknown", recipients=["x"])


GROUPS = [users, preferences, objects, subscriptions, tenants, schedules, audiences, messages, feeds, workflows, runs]

for group in [*GROUPS, absent, preference_center, errors]:
    try:
        group()
    except Exception as error:
        raise SystemExit(f"{group.__name__}: {type(error).__name__}: {error}") from error
