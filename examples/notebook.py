# ruff: noqa: D100, F704, B018 - a notebook in percent format: await at top level, values as last lines
# mypy: disable-error-code="top-level-await"
# %% [markdown]
# # Look at sessions in a notebook
#
# Jupyter, VS Code and Colab open this file as a notebook. It needs `pip install 'isnotai-async[arrow]' pandas`, and
# no key: the sandbox stands in for the API. With a key of your own, leave the sandbox out and write
# `client = isnotai.Client()`, with `ISNOTAI_API_KEY` in the environment and not in the notebook.

# %%
import isnotai_async as isnotai

sandbox = isnotai.Sandbox()
await sandbox.start()
client = isnotai.Client(sandbox.api_key, base_url=sandbox.base_url)
await client.open()  # a notebook has no block that lasts from cell to cell
client

# %% [markdown]
# ## One page
#
# A page shows itself as a table.

# %%
page = await client.list_sessions(bot_only=True, page_size=5)
page

# %% [markdown]
# ## A data frame
#
# `to_arrow()` reads a whole list into a `pyarrow.Table`.

# %%
bot = page.data[0]
events = (await client.list_events(bot.id).to_arrow()).to_pandas()
events.groupby("event_type_name").agg(events=("event_id", "count"), payload=("payload_size", "sum"))

# %% [markdown]
# ## Many sessions at once

# %%
table = await client.stream_events([session.id for session in page.data]).to_arrow()
table.to_pandas().groupby("session_id")["timestamp"].agg(["count", "min", "max"])

# %% [markdown]
# ## A walk, event by event
#
# A walk knows where it stands; the next cell can resume it.

# %%
walk = client.list_events(bot.id)
event = await anext(aiter(walk))
event.event_type_name, event.time

# %%
walk.position

# %%
await client.aclose()
await sandbox.aclose()
client
