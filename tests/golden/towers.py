"""ONNX graphs of the CLIP and SigLIP towers, at any width, with seeded weights.

`tests/golden/generate.py` builds them in miniature, `benches/build_vit_b32.py` at the published size.
A weight depends on the seed and its own name only, so every layout of a model holds the same weights.

Sources: Radford et al. 2021 (arXiv 2103.00020) and Zhai et al. 2023 (arXiv 2303.15343); names of inputs and outputs
follow the Optimum exports (`pixel_values`, `input_ids`, `image_embeds`, `text_embeds`, `last_hidden_state`, `pooler_output`).
"""

import zlib
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8


@dataclass(frozen=True)
class Tower:
    """Size of one tower. `rank` > 0 stores the token table as int8 of that many columns, widened by a matrix."""

    width: int
    layers: int
    heads: int
    projection: int
    patch: int = 32
    image: int = 224
    vocabulary: int = 0
    context: int = 0
    rank: int = 0

    @property
    def grid(self):
        return self.image // self.patch


class Weights:
    """Seeded weights by name; `fixed` replaces some of them (the calibrated biases)."""

    def __init__(self, seed, fixed=None):
        self.seed, self.fixed = seed, fixed or {}

    def normal(self, name, shape, std):
        if name in self.fixed:
            return self.fixed[name]
        random = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        return random.standard_normal(shape, np.float32) * np.float32(std)

    def around(self, name, shape, centre, std):
        if name in self.fixed:
            return self.fixed[name]
        return np.float32(centre) + self.normal(name, shape, std)

    def patches(self, name, width, patch):
        """Patch filters of a slightly falling spectrum: they tell bilinear from bicubic, and forgive a grey level of noise."""
        f = np.fft.fftfreq(patch) * patch
        fall = np.hypot(1.0, np.hypot(f[:, None], f[None, :])) ** -0.25
        spectrum = np.fft.fft2(self.normal(name, (width, 3, patch, patch), 1.0).astype(np.float64)) * fall
        filters = np.fft.ifft2(spectrum).real
        return (filters / np.linalg.norm(filters.reshape(width, -1), axis=1)[:, None, None, None] / np.sqrt(patch)).astype(np.float32)


class Graph:
    """A graph under construction. Every method returns the name of its result."""

    def __init__(self, weights, dtype=np.float32, compact=False):
        self.w, self.dtype, self.compact = weights, np.dtype(dtype), compact
        self.nodes, self.initializers, self.known = [], [], set()

    # -- parts -----------------------------------------------------------------------------------------------------

    def op(self, kind, *inputs, outputs=1, **attributes):
        name = f"{kind}_{len(self.nodes)}"
        names = [f"{name}_{i}" if outputs > 1 else name for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return names if outputs > 1 else names[0]

    def constant(self, value, dtype=None):
        array = np.asarray(value, dtype or self.dtype)
        name = f"c_{array.dtype}_{'x'.join(map(str, array.shape))}_{zlib.crc32(array.tobytes()):08x}"
        return self.initializer(name, array)

    def ints(self, *values):
        return self.constant(values, np.int64)

    def initializer(self, name, array):
        if name not in self.known:
            self.known.add(name)
            self.initializers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def weight(self, name, array):
        return self.initializer(name, array.astype(self.dtype))

    def small(self, name, array):
        """Stores a large weight as int8 with one scale, read back as a float: a quarter of the file."""
        if not self.compact:
            return self.weight(name, array)
        scale = float(np.abs(array).max()) / 127
        stored = self.initializer(f"{name}.int8", np.round(array / scale).astype(np.int8))
        return self.real(self.scaled(stored, scale))

    def scaled(self, stored, scale):
        """int8 to real numbers, in f32 so that a CPU folds it when the model is loaded."""
        return self.op("Mul", self.op("Cast", stored, to=TensorProto.FLOAT), self.constant(scale, np.float32))

    def real(self, value):
        return self.op("Cast", value, to=helper.np_dtype_to_tensor_dtype(self.dtype))

    def dense(self, x, name, rows, columns, std=None, bias=True):
        y = self.op("MatMul", x, self.weight(f"{name}.weight", self.w.normal(f"{name}.weight", (rows, columns), std or rows**-0.5)))
        if not bias:
            return y
        return self.op("Add", y, self.weight(f"{name}.bias", self.w.normal(f"{name}.bias", (columns,), 0.02)))

    def norm(self, x, name, width):
        scale = self.weight(f"{name}.weight", self.w.around(f"{name}.weight", (width,), 1.0, 0.05))
        bias = self.weight(f"{name}.bias", self.w.around(f"{name}.bias", (width,), 0.0, 0.05))
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-5)

    def attention(self, query, keys, name, tower, mask=None):
        size = tower.width // tower.heads
        split = self.ints(0, 0, tower.heads, size)
        q = self.op("Mul", self.dense(query, f"{name}.q_proj", tower.width, tower.width), self.constant(size**-0.5))
        k = self.dense(keys, f"{name}.k_proj", tower.width, tower.width)
        v = self.dense(keys, f"{name}.v_proj", tower.width, tower.width)
        q = self.op("Transpose", self.op("Reshape", q, split), perm=[0, 2, 1, 3])
        k = self.op("Transpose", self.op("Reshape", k, split), perm=[0, 2, 3, 1])
        v = self.op("Transpose", self.op("Reshape", v, split), perm=[0, 2, 1, 3])
        scores = self.op("MatMul", q, k)
        if mask:
            scores = self.op("Add", scores, mask)
        y = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        y = self.op("Reshape", self.op("Transpose", y, perm=[0, 2, 1, 3]), self.ints(0, 0, tower.width))
        return self.dense(y, f"{name}.out_proj", tower.width, tower.width)

    def quick_gelu(self, x):
        return self.op("Mul", x, self.op("Sigmoid", self.op("Mul", x, self.constant(1.702))))

    def gelu_tanh(self, x):
        cube = self.op("Mul", self.op("Mul", x, x), x)
        inner = self.op("Add", x, self.op("Mul", cube, self.constant(0.044715)))
        gate = self.op("Add", self.op("Tanh", self.op("Mul", inner, self.constant(np.sqrt(2 / np.pi)))), self.constant(1.0))
        return self.op("Mul", self.op("Mul", x, gate), self.constant(0.5))

    def mlp(self, x, name, tower, activation):
        hidden = activation(self.dense(x, f"{name}.fc1", tower.width, 4 * tower.width))
        return self.dense(hidden, f"{name}.fc2", 4 * tower.width, tower.width)

    def blocks(self, x, name, tower, activation, mask=None):
        """Pre-norm transformer blocks."""
        for i in range(tower.layers):
            at = f"{name}.layers.{i}"
            y = self.norm(x, f"{at}.layer_norm1", tower.width)
            x = self.op("Add", x, self.attention(y, y, f"{at}.self_attn", tower, mask))
            x = self.op("Add", x, self.mlp(self.norm(x, f"{at}.layer_norm2", tower.width), f"{at}.mlp", tower, activation))
        return x

    def size(self, x, axis):
        """The extent of one axis, as a vector of one."""
        return self.op("Gather", self.op("Shape", x), self.ints(axis), axis=0)

    def patches(self, pixels, name, tower):
        """Patch embeddings, [batch, grid * grid, width]."""
        filters = self.small(f"{name}.weight", self.w.patches(f"{name}.weight", tower.width, tower.patch))
        y = self.op("Conv", self.real(pixels), filters, kernel_shape=[tower.patch] * 2, strides=[tower.patch] * 2)
        return self.op("Transpose", self.op("Reshape", y, self.ints(0, tower.width, tower.grid**2)), perm=[0, 2, 1])

    def tokens(self, ids, name, tower):
        """Token embeddings plus the positions of the sequence as long as it is, [batch, sequence, width]."""
        columns = tower.rank or tower.width
        table = self.w.normal(f"{name}.token", (tower.vocabulary, columns), 1.0)
        if tower.rank:
            scale = float(np.abs(table).max()) / 127
            x = self.op("Gather", self.initializer(f"{name}.token.int8", np.round(table / scale).astype(np.int8)), ids, axis=0)
            x = self.dense(self.real(self.scaled(x, scale)), f"{name}.token.widen", columns, tower.width, bias=False)
        else:
            x = self.op("Gather", self.weight(f"{name}.token", table), ids, axis=0)
        positions = self.weight(f"{name}.position", self.w.normal(f"{name}.position", (tower.context, tower.width), 0.5))
        return self.op("Add", x, self.op("Slice", positions, self.ints(0), self.size(ids, 1), self.ints(0)))

    def out(self, x, name):
        """Names an output; outputs are f32 whatever the weights are."""
        self.nodes.append(helper.make_node("Cast", [x], [name], name=f"output_{name}", to=TensorProto.FLOAT))
        return name

    def unit(self, x):
        return self.op("Div", x, self.op("ReduceL2", x, axes=[-1], keepdims=1))

    def model(self, inputs, outputs):
        """The finished model. `inputs` and `outputs` are (name, type, shape) with names for the free axes."""
        info = [[helper.make_tensor_value_info(*value) for value in side] for side in (inputs, outputs)]
        graph = helper.make_graph(self.nodes, "clip", info[0], info[1], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="clip-filter tests")


# -- towers ------------------------------------------------------------------------------------------------------------


def clip_vision(g, pixels, tower):
    """Vision transformer with a class token, norm before the blocks, class token projected. -> (embedding, states, pooled)"""
    x = g.patches(pixels, "vision.patch", tower)
    first = g.weight("vision.class", g.w.normal("vision.class", (1, 1, tower.width), 0.5))
    first = g.op("Expand", first, g.op("Concat", g.size(pixels, 0), g.ints(1, 1), axis=0))
    x = g.op("Concat", first, x, axis=1)
    x = g.op("Add", x, g.weight("vision.position", g.w.normal("vision.position", (tower.grid**2 + 1, tower.width), 0.3)))
    x = g.blocks(g.norm(x, "vision.pre_layrnorm", tower.width), "vision", tower, g.quick_gelu)
    pooled = g.norm(g.op("Gather", x, g.constant(0, np.int64), axis=1), "vision.post_layernorm", tower.width)
    return g.dense(pooled, "visual_projection", tower.width, tower.projection, bias=False), x, pooled


def clip_text(g, ids, tower, mask=None):
    """Causal transformer pooled at the largest id, which is the end-of-text token. -> (embedding, states, pooled)"""
    low = -1e9 if g.dtype == np.float32 else -1e4
    length = g.size(ids, 1)
    fill = helper.make_tensor("value", helper.np_dtype_to_tensor_dtype(g.dtype), [1], np.array([low], g.dtype))
    causal = g.op("Trilu", g.op("ConstantOfShape", g.op("Concat", length, length, axis=0), value=fill), g.constant(1, np.int64), upper=1)
    if mask:
        hidden = g.op("Mul", g.op("Sub", g.constant(1.0), g.real(mask)), g.constant(low))
        causal = g.op("Add", causal, g.op("Unsqueeze", hidden, g.ints(1, 2)))
    x = g.blocks(g.tokens(ids, "text", tower), "text", tower, g.quick_gelu, causal)
    x = g.norm(x, "text.final_layer_norm", tower.width)
    end = g.op("ArgMax", ids, axis=-1, keepdims=1)
    batch = g.op("Squeeze", g.size(ids, 0), g.ints(0))
    rows = g.op("Unsqueeze", g.op("Range", g.constant(0, np.int64), batch, g.constant(1, np.int64)), g.ints(1))
    pooled = g.op("GatherND", x, g.op("Concat", rows, end, axis=1))
    return g.dense(pooled, "text_projection", tower.width, tower.projection, bias=False), x, pooled


def siglip_vision(g, pixels, tower):
    """Vision transformer without a class token; a learned probe attends over the patches. -> (embedding, states)"""
    x = g.patches(pixels, "vision.patch", tower)
    x = g.op("Add", x, g.weight("vision.position", g.w.normal("vision.position", (tower.grid**2, tower.width), 0.3)))
    x = g.norm(g.blocks(x, "vision", tower, g.gelu_tanh), "vision.post_layernorm", tower.width)
    probe = g.weight("vision.head.probe", g.w.normal("vision.head.probe", (1, 1, tower.width), 1.0))
    probe = g.op("Expand", probe, g.op("Concat", g.size(pixels, 0), g.ints(1, 1), axis=0))
    y = g.attention(probe, x, "vision.head.attention", tower)
    y = g.op("Add", y, g.mlp(g.norm(y, "vision.head.layernorm", tower.width), "vision.head.mlp", tower, g.gelu_tanh))
    # A fixed shift, zero until it is calibrated, keeps random towers from answering every picture alike.
    shift = g.weight("vision.head.shift", g.w.around("vision.head.shift", (tower.width,), 0.0, 0.0))
    return g.op("Add", g.op("Gather", y, g.constant(0, np.int64), axis=1), shift), x


def siglip_text(g, ids, tower):
    """Transformer that sees every position, pooled at the last one: padding is part of the meaning. -> (embedding, states)"""
    x = g.blocks(g.tokens(ids, "text", tower), "text", tower, g.gelu_tanh)
    x = g.norm(x, "text.final_layer_norm", tower.width)
    last = g.op("Gather", x, g.constant(-1, np.int64), axis=1)
    return g.dense(last, "text.head", tower.width, tower.projection), x


# -- models in the layouts people download ----------------------------------------------------------------------------------

PIXELS = lambda tower, batch="batch_size": ("pixel_values", TensorProto.FLOAT, [batch, 3, tower.image, tower.image])
IDS = lambda name="input_ids", batch="batch_size", length="sequence_length": (name, TensorProto.INT64, [batch, length])
FLOATS = lambda name, *shape: (name, TensorProto.FLOAT, list(shape))


def vision_model(weights, tower, **options):
    """`onnx/vision_model.onnx` of a CLIP pair."""
    g = Graph(weights, **options)
    embedding, states, _ = clip_vision(g, "pixel_values", tower)
    g.out(embedding, "image_embeds"), g.out(states, "last_hidden_state")
    tokens = tower.grid**2 + 1
    return g.model([PIXELS(tower)], [FLOATS("image_embeds", "batch_size", tower.projection), FLOATS("last_hidden_state", "batch_size", tokens, tower.width)])


def text_model(weights, tower, masked=True, **options):
    """`onnx/text_model.onnx` of a CLIP pair; exports with and without `attention_mask` both occur."""
    g = Graph(weights, **options)
    embedding, states, _ = clip_text(g, "input_ids", tower, "attention_mask" if masked else None)
    g.out(embedding, "text_embeds"), g.out(states, "last_hidden_state")
    inputs = [IDS()] + ([IDS("attention_mask")] if masked else [])
    return g.model(inputs, [FLOATS("text_embeds", "batch_size", tower.projection), FLOATS("last_hidden_state", "batch_size", "sequence_length", tower.width)])


def open_clip_visual(weights, tower, **options):
    """`visual.onnx`: `image` -> `image_features`."""
    g = Graph(weights, **options)
    g.out(clip_vision(g, "image", tower)[0], "image_features")
    return g.model([("image", TensorProto.FLOAT, ["batch", 3, tower.image, tower.image])], [FLOATS("image_features", "batch", tower.projection)])


def open_clip_textual(weights, tower, **options):
    """`textual.onnx`: `text` -> `text_features`; the sequence is the whole context."""
    g = Graph(weights, **options)
    g.out(clip_text(g, "text", tower)[0], "text_features")
    return g.model([IDS("text", "batch", tower.context)], [FLOATS("text_features", "batch", tower.projection)])


def combined_model(weights, vision, text, logit_scale=100.0, **options):
    """`onnx/model.onnx`: both towers and the logits; here the embeddings are unit vectors."""
    g = Graph(weights, **options)
    image = g.unit(clip_vision(g, "pixel_values", vision)[0])
    words = g.unit(clip_text(g, "input_ids", text, "attention_mask")[0])
    logits = g.op("Mul", g.op("MatMul", words, g.op("Transpose", image, perm=[1, 0])), g.constant(logit_scale))
    g.out(g.op("Transpose", logits, perm=[1, 0]), "logits_per_image"), g.out(logits, "logits_per_text")
    g.out(words, "text_embeds"), g.out(image, "image_embeds")
    i, t = "image_batch_size", "text_batch_size"
    inputs = [IDS(batch=t), PIXELS(vision, i), IDS("attention_mask", t)]
    return g.model(inputs, [FLOATS("logits_per_image", i, t), FLOATS("logits_per_text", t, i), FLOATS("text_embeds", t, text.projection), FLOATS("image_embeds", i, vision.projection)])


def siglip_vision_model(weights, tower, **options):
    """`onnx/vision_model.onnx` of a SigLIP pair."""
    g = Graph(weights, **options)
    pooled, states = siglip_vision(g, "pixel_values", tower)
    g.out(states, "last_hidden_state"), g.out(pooled, "pooler_output")
    return g.model([PIXELS(tower)], [FLOATS("last_hidden_state", "batch_size", tower.grid**2, tower.width), FLOATS("pooler_output", "batch_size", tower.width)])


def siglip_text_model(weights, tower, **options):
    """`onnx/text_model.onnx` of a SigLIP pair: no attention mask."""
    g = Graph(weights, **options)
    pooled, states = siglip_text(g, "input_ids", tower)
    g.out(states, "last_hidden_state"), g.out(pooled, "pooler_output")
    return g.model([IDS()], [FLOATS("last_hidden_state", "batch_size", "sequence_length", tower.width), FLOATS("pooler_output", "batch_size", tower.projection)])


def save(model, path):
    """Writes the model with the same bytes every time; returns their number."""
    data = model.SerializeToString(deterministic=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return len(data)
