"""vLLM: the only module that imports it.

One ``AsyncLLM`` an engine, tensor-parallel inside. A request asks for all its samples at once (``n``): the picture is
encoded once and the samples share the prompt's cache.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import io
import itertools
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
from PIL import Image

from mmpr.answers.final_answers.families import reasoning_opened
from mmpr.config import ChatSpec, Recipe, SamplingSpec
from mmpr.config.chat import DEFAULT_CHAT, unused_kwargs
from mmpr.engine.control_tokens import ROLES, check_prompt, control_tokens
from mmpr.engine.lives import last_words
from mmpr.engine.request import Reply, Request, Tokenization
from mmpr.engine.start_budget import see_that_it_ends
from mmpr.errors import EngineDeadError, EngineStartError, RowError
from mmpr.prompts import prints_parts, to_messages
from mmpr.schema import Response, TokenIds
from mmpr.tokens import readable, spelling, text_sha256, tokenizer_sha256

_CPU_BATCHED_TOKENS = 8192
_CACHE_ARGS = {"kv_cache_memory_bytes", "gpu_memory_utilization", "num_gpu_blocks_override"}
_LEAST_CACHE_BYTES, _MOST_CACHE_BYTES = 256 << 20, 8 << 30


class VllmEngine:
    """An ``AsyncLLM`` and the chat format of its model."""

    def __init__(self, recipe: Recipe, model_path: str, log: Path | None) -> None:
        """Start the engine; takes half a minute to several.

        ``model_path`` is a folder or a name on the hub. From here on this process writes its output to ``log``, if one
        is given, as do vLLM's own processes.

        Raises:
            EngineStartError: with the last lines of the log.
        """
        if log is not None:
            _write_output_to(log)
        # Without a GPU, the threads that vLLM computes with; Ray has set it already.
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, int(recipe.engine.cpus_per_actor))))
        self._recipe = recipe
        self._serial = itertools.count()
        try:
            from vllm import SamplingParams
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.sampling_params import RequestOutputKind
            from vllm.v1.engine.async_llm import AsyncLLM

            self._sampling_params = partial(SamplingParams.from_optional, output_kind=RequestOutputKind.FINAL_ONLY)
            most = max(recipe.samples(source.name) for source in recipe.sources)
            self._sampling_params(n=most, **sampling_args(recipe.sampling))  # what vLLM does not take, it says here
            args = AsyncEngineArgs(enable_log_requests=False, **engine_args(recipe, model_path))
            self._engine: Any = AsyncLLM.from_engine_args(args)
        except Exception as error:  # whatever goes wrong, the user needs the engine's own words
            raise EngineStartError(_start_message(error, log)) from error
        self.samples_at_once: int = self._engine.vllm_config.scheduler_config.max_num_seqs
        self._tokenizer: Any = self._engine.get_tokenizer()
        self._control_tokens = _control_tokens(self._tokenizer, self._engine.renderer.model_config, recipe.chat)
        renderer = self._engine.renderer
        steps = {
            "chat template": lambda text: renderer.render_messages(
                to_messages(text, recipe.chat.system), chat_params(recipe.chat)
            ),
            "tokenizer": self._tokenizer.encode,
        }
        see_that_it_ends(model_path, steps)
        template = _chat_template(self._tokenizer, renderer.model_config, recipe.chat)
        if unused := unused_kwargs(recipe.chat, template):
            raise EngineStartError(
                f"chat.template_kwargs: the chat template of {model_path} does not know {', '.join(unused)}"
            )
        messages = to_messages("?", recipe.chat.system)
        _, asked = renderer.render_messages(messages, chat_params(recipe.chat))
        shown = str(asked.get("prompt", ""))
        if printed := prints_parts(shown, messages):
            raise EngineStartError(f"{model_path}: {printed}")
        opened = reasoning_opened(shown)
        self.about = Tokenization(tokenizer_sha256(self._tokenizer), text_sha256(template), opened)

    async def generate(self, request: Request) -> Reply:
        """Draw all samples of a request; see ``Engine.generate``."""
        from vllm.v1.engine.exceptions import EngineDeadError as VllmDeadError

        check_prompt(request.said, self._control_tokens)
        params = self._sampling_params(n=request.samples, seed=request.seed, **sampling_args(self._recipe.sampling))
        prompt = final = None
        try:
            prompt = await render(self._engine.renderer, request, self._recipe.chat)
            async for output in self._engine.generate(prompt, params, f"mmpr-{next(self._serial)}"):
                final = output
        except VllmDeadError as error:
            raise EngineDeadError("vLLM's engine process died") from error
        except Exception as error:  # a request of any data can fail in any way; the others must go on
            if self._engine.errored:
                raise EngineDeadError("vLLM's engine process died") from error
            self._forget_pictures(prompt)
            raise RowError("engine_refused", _one_line(error)) from error
        if final is None:
            return Reply((), prompt_tokens=0)
        responses = tuple(
            Response(
                text=output.text.encode("utf-8", "replace").decode("utf-8"),
                seed=request.seed + output.index,
                finish_reason=output.finish_reason or "unknown",
                tokens=len(output.token_ids),
                token_ids=tuple(output.token_ids),
                logprobs=_logprobs(output),
            )
            for output in sorted(final.outputs, key=lambda output: output.index)
        )
        prompt_token_ids = tuple(final.prompt_token_ids or ())
        return Reply(responses, len(prompt_token_ids), prompt_token_ids)

    def spelling(self, response: Response) -> tuple[TokenIds, list[int]]:
        """See ``Engine.spelling``."""
        return spelling(self._tokenizer, response)

    def _forget_pictures(self, prompt: Any) -> None:
        """Forget that the engine has the pictures of a request that it refused.

        It may never have got them, and would end later requests for the same pictures with ``error``.
        """
        cache = self._engine.renderer.mm_processor_cache
        if prompt is not None and cache is not None:
            for hashes in prompt.get("mm_hashes", {}).values():
                for one in hashes:
                    cache.invalidate(one)


def look_at(recipe: Recipe, model_path: str, requests: Sequence[Request]) -> dict[str, Any]:
    """What vLLM says of a recipe, and makes of some requests, without an engine (``mmpr.engine.preview.Preview``)."""
    from vllm import SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs

    problems = []
    known = [field.name for field in dataclasses.fields(AsyncEngineArgs)]
    for name in recipe.engine.args:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; do you mean {near[0]!r}?" if near else ""
            problems.append(f"engine.args.{name}: vLLM's AsyncEngineArgs have no {name!r}{meant}")
    try:
        most = max(recipe.samples(source.name) for source in recipe.sources)
        SamplingParams.from_optional(n=most, **sampling_args(recipe.sampling))
    except Exception as error:  # noqa: BLE001 - the recipe's own values, refused in vLLM's words
        problems.append(f"sampling: {_one_line(error)}")
    if problems:
        return {"problems": problems}
    return _look_at_model(recipe, model_path, requests)


def _look_at_model(recipe: Recipe, model_path: str, requests: Sequence[Request]) -> dict[str, Any]:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.renderers import renderer_from_config

    try:
        config = AsyncEngineArgs(**engine_args(recipe, model_path)).create_engine_config()
        model = config.model_config
        seen = {"context": int(model.max_model_len), "takes_pictures": bool(model.is_multimodal_model)}
        if any(request.images for request in requests) and not seen["takes_pictures"]:
            return seen
        renderer = renderer_from_config(config)
        template = _chat_template(renderer.get_tokenizer(), model, recipe.chat)
        if unused := unused_kwargs(recipe.chat, template):
            return {**seen, "problems": [f"chat.template_kwargs: the chat template does not know {', '.join(unused)}"]}
    except Exception as error:  # noqa: BLE001 - of the model, or of this machine, which may lack the cluster's GPUs
        words = _one_line(error)
        return {"note": words} if "device" in words.lower() else {"problems": [f"engine: {words}"]}
    return {**seen, "prompts": [_shown(renderer, request, recipe.chat) for request in requests]}


def _shown(renderer: Any, request: Request, chat: ChatSpec) -> dict[str, Any]:
    """A prompt with its tokens as text (those of a picture, which are one many times, once), or why it is refused."""
    try:
        ids = list(asyncio.run(render(renderer, request, chat))["prompt_token_ids"])
        text = readable(renderer.get_tokenizer(), ids)
    except Exception as error:  # noqa: BLE001 - whatever refuses it will refuse it when it is asked
        return {"error": _one_line(error)}
    return {"text": text, "tokens": len(ids)}


async def render(renderer: Any, request: Request, chat: ChatSpec = DEFAULT_CHAT) -> Any:
    """A request in the model's chat format, tokenized, with its pictures processed: what vLLM's engine takes.

    ``renderer`` is vLLM's. Special tokens are added by the tokenizer only where the chat template has not written the
    beginning of sequence itself: many tokenizers would put a second one before it.
    """
    pictures = await asyncio.to_thread(lambda: [_open(image) for image in request.images])
    messages = to_messages(request.prompt, chat.system, request.context)
    given = [{**message, "content": [dict(part) for part in message["content"]]} for message in messages]
    remaining = iter(pictures)
    for part in (part for message in given for part in message["content"]):
        if part["type"] == "image":
            part.update(type="image_pil", image_pil=next(remaining))
    _, prompt = await renderer.render_messages_async(given, chat_params(chat, request.processor))
    if request.context and (printed := prints_parts(str(prompt.get("prompt", "")), messages)):
        raise RowError("engine_refused", printed)
    if request.processor:
        prompt["mm_processor_kwargs"] = dict(request.processor)
    params = renderer.default_chat_tok_params
    begins = renderer.get_tokenizer().bos_token
    if begins and prompt["prompt"].startswith(begins):
        params = params.with_kwargs(add_special_tokens=False)
    (tokens,) = await renderer.tokenize_prompts_async([prompt], params)
    tokens["prompt_token_ids"] = [*tokens["prompt_token_ids"], *request.prefix_token_ids]
    return await renderer.process_for_engine_async(tokens, time.time(), tok_params=params)


def chat_params(chat: ChatSpec = DEFAULT_CHAT, processor: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """How vLLM applies a chat template, with arguments of the picture processor."""
    from vllm.renderers import ChatParams

    return ChatParams(
        chat_template=chat.template or None,
        chat_template_kwargs={**chat.template_kwargs, "add_generation_prompt": True, "tokenize": False},
        mm_processor_kwargs=dict(processor) or None,
    )


def _control_tokens(tokenizer: Any, config: Any, chat: ChatSpec) -> frozenset[str]:
    """The control tokens of a model, by its tokenizer and chat template."""
    template = _chat_template(tokenizer, config, chat)
    added = getattr(tokenizer, "added_tokens_decoder", {})  # Mistral's own tokenizers have none
    special = [str(token) for token in added.values() if token.special] or tokenizer.all_special_tokens
    roles = [getattr(tokenizer, f"{role}_token", None) for role in ROLES]
    return control_tokens(special, roles, template)


def _chat_template(tokenizer: Any, config: Any, chat: ChatSpec) -> str:
    """The chat template that writes the prompts."""
    from vllm.renderers.hf import resolve_chat_template

    own = chat.template or None
    return resolve_chat_template(tokenizer, chat_template=own, tools=None, model_config=config) or ""


def _logprobs(output: Any) -> tuple[float, ...]:
    """The log-probability of each token that was drawn, if vLLM was asked for them."""
    if not output.logprobs:
        return ()
    return tuple(float(seen[token].logprob) for token, seen in zip(output.token_ids, output.logprobs, strict=True))


def sampling_args(sampling: SamplingSpec) -> dict[str, Any]:
    """Arguments of vLLM's ``SamplingParams.from_optional``, without those of a single request."""
    from vllm.sampling_params import StructuredOutputsParams

    # Special tokens that stay are not to be parted by spaces, which slow tokenizers would do.
    spaces = {"spaces_between_special_tokens": sampling.skip_special_tokens}
    logprobs = {"logprobs": 0 if sampling.logprobs else None}  # 0: of the drawn token alone
    own = sampling.model_dump(mode="json", exclude={"samples", "adaptive", "args", "logprobs"})
    args = spaces | own | logprobs | sampling.args
    if isinstance(args.get("structured_outputs"), dict):
        args["structured_outputs"] = StructuredOutputsParams(**args["structured_outputs"])
    return args


def engine_args(recipe: Recipe, model_path: str) -> dict[str, Any]:
    """Arguments of vLLM's engine: the recipe's ``engine.args`` over our defaults, some of which are for CPUs alone."""
    from vllm.platforms import current_platform

    engine, model = recipe.engine, recipe.model
    defaults: dict[str, Any] = {
        "disable_log_stats": True,
        "limit_mm_per_prompt": {"image": recipe.images.max_per_question, "video": 0, "audio": 0},
        # Of chat templates that take plain text: pictures stay where the question has them, not all before it.
        "interleave_mm_strings": True,
    }
    if engine.tensor_parallel_size > 1:
        # Ray has already given this actor its GPUs; vLLM's own processes share them out.
        defaults["distributed_executor_backend"] = "mp"
    elif current_platform.is_cpu():
        # Scheduler and model in one process, as on a GPU. On a CPU vLLM would start one more, and the scheduler would
        # wait for it in a loop that takes a whole core from Ray and from the preparation of prompts.
        from vllm.v1.executor.uniproc_executor import UniProcExecutor

        defaults["distributed_executor_backend"] = UniProcExecutor
    if current_platform.is_cpu():
        # vLLM rewinds the seeded generator of a prompt that is read in parts, which CPU generators cannot do: the
        # engine would die. So prompts are read whole.
        defaults["enable_chunked_prefill"] = False
        defaults["max_num_batched_tokens"] = max(_CPU_BATCHED_TOKENS, engine.args.get("max_model_len", 0))
        if not engine.args.keys() & _CACHE_ARGS and not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
            defaults["kv_cache_memory_bytes"] = cpu_cache_bytes(psutil.virtual_memory().available, engine.actors)
    args = {
        **defaults,
        **engine.args,
        "model": model_path,
        "revision": None if model.is_local else model.revision,
        "trust_remote_code": model.trust_remote_code,
        "tensor_parallel_size": engine.tensor_parallel_size,
    }
    if current_platform.is_cpu() and "enable_prefix_caching" not in engine.args and _is_hybrid(args):
        # vLLM keeps the state of such layers for later prompts only where it may read prompts in parts.
        args["enable_prefix_caching"] = False
        print(
            "mmpr: prefix caching is off (engine.args.enable_prefix_caching): this model has layers with a running "
            "state, which vLLM cannot keep for other prompts on a CPU",
            flush=True,
        )
    return args


def cpu_cache_bytes(available: int, actors: int) -> int:
    """Memory for the cache of an engine without a GPU, where the recipe says nothing of it.

    vLLM would take nine tenths of the whole memory, and not start where something else is in it.
    """
    return max(_LEAST_CACHE_BYTES, min(_MOST_CACHE_BYTES, available // 4 // actors))


def _is_hybrid(args: dict[str, Any]) -> bool:
    """Whether some of a model's layers have a running state instead of attention (Qwen3.5, LFM2)."""
    from vllm.engine.arg_utils import AsyncEngineArgs

    return bool(AsyncEngineArgs(**args).create_model_config().is_hybrid)


def _open(image: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(image))
    picture.load()
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _write_output_to(log: Path) -> None:
    """Point this process's output, and that of processes it starts, at a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _start_message(error: Exception, log: Path | None) -> str:
    sys.stdout.flush()
    sys.stderr.flush()
    return f"the engine did not start: {_one_line(error)}{last_words(log) if log is not None else ''}"


def _one_line(error: BaseException) -> str:
    """An error and what caused it, in at most 500 printable characters."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < 3:
        parts.append(f"{type(current).__name__}: {current}" if str(current) else type(current).__name__)
        current = current.__cause__
    text = " / ".join(parts)
    return "".join(c if c.isprintable() else " " for c in text)[:500]
