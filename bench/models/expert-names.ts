/**
 * The tensors of a mixture-of-experts model as DeepSeek-V3 publishes it: 61 layers, 58 of them with 256 experts, and one layer more that
 * predicts a second token. Weights are float8 with a float32 scale for each block of 128 × 128. 91,991 tensors, 690 GB.
 */
import type { DType } from '../../src/checkpoint/tensor.ts';

export interface ExpertTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

const HIDDEN = 7168;
const VOCABULARY = 129_280;
const DENSE = 18_432;
const EXPERT = 2048;
const QUERY_RANK = 1536;
const KEY_RANK = 512;
const ROTARY = 64;
const HEADS = 128;
const HEAD = 128;
const BLOCK = 128;
const LAYERS = 61;
const DENSE_LAYERS = 3;
const EXPERTS = 256;

/**
 * `tensors` limits how many there are, in the order of the layers. Without `small` the shapes are the published ones; with it each tensor
 * has one block of 64 bytes and the plain dtypes that every torch knows.
 */
export function* expertTensors(options: {
  readonly tensors?: number;
  readonly small?: boolean;
}): Generator<ExpertTensor> {
  let left = options.tensors ?? Number.POSITIVE_INFINITY;
  for (const tensor of published()) {
    if (left-- <= 0) return;
    yield options.small ? shrunk(tensor) : tensor;
  }
}

function shrunk({ name, dtype }: ExpertTensor): ExpertTensor {
  return dtype === 'float32' ? { name, dtype, shape: [4, 4] } : { name, dtype: 'bfloat16', shape: [4, 8] };
}

function* published(): Generator<ExpertTensor> {
  yield plain('model.embed_tokens.weight', [VOCABULARY, HIDDEN]);
  for (let layer = 0; layer < LAYERS; layer++) yield* block(`model.layers.${layer}`, layer >= DENSE_LAYERS);
  yield plain('model.norm.weight', [HIDDEN]);
  yield plain('lm_head.weight', [VOCABULARY, HIDDEN]);
  const last = `model.layers.${LAYERS}`;
  yield plain(`${last}.embed_tokens.weight`, [VOCABULARY, HIDDEN]);
  yield plain(`${last}.enorm.weight`, [HIDDEN]);
  yield plain(`${last}.hnorm.weight`, [HIDDEN]);
  yield plain(`${last}.eh_proj.weight`, [HIDDEN, 2 * HIDDEN]);
  yield* block(last, true);
  yield plain(`${last}.shared_head.norm.weight`, [HIDDEN]);
  yield plain(`${last}.shared_head.head.weight`, [VOCABULARY, HIDDEN]);
}

function* block(layer: string, hasExperts: boolean): Generator<ExpertTensor> {
  const attention = `${layer}.self_attn`;
  yield plain(`${layer}.input_layernorm.weight`, [HIDDEN]);
  yield* quantized(`${attention}.q_a_proj`, [QUERY_RANK, HIDDEN]);
  yield plain(`${attention}.q_a_layernorm.weight`, [QUERY_RANK]);
  yield* quantized(`${attention}.q_b_proj`, [HEADS * (HEAD + ROTARY), QUERY_RANK]);
  yield* quantized(`${attention}.kv_a_proj_with_mqa`, [KEY_RANK + ROTARY, HIDDEN]);
  yield plain(`${attention}.kv_a_layernorm.weight`, [KEY_RANK]);
  yield* quantized(`${attention}.kv_b_proj`, [HEADS * 2 * HEAD, KEY_RANK]);
  yield* quantized(`${attention}.o_proj`, [HIDDEN, HEADS * HEAD]);
  yield plain(`${layer}.post_attention_layernorm.weight`, [HIDDEN]);
  if (!hasExperts) {
    yield* feedForward(`${layer}.mlp`, DENSE);
    return;
  }
  yield plain(`${layer}.mlp.gate.weight`, [EXPERTS, HIDDEN]);
  yield { name: `${layer}.mlp.gate.e_score_correction_bias`, dtype: 'float32', shape: [EXPERTS] };
  for (let expert = 0; expert < EXPERTS; expert++) {
    yield* feedForward(`${layer}.mlp.experts.${expert}`, EXPERT);
  }
  yield* feedForward(`${layer}.mlp.shared_experts`, EXPERT);
}

function* feedForward(module: string, width: number): Generator<ExpertTensor> {
  yield* quantized(`${module}.gate_proj`, [width, HIDDEN]);
  yield* quantized(`${module}.up_proj`, [width, HIDDEN]);
  yield* quantized(`${module}.down_proj`, [HIDDEN, width]);
}

function plain(name: string, shape: readonly number[]): ExpertTensor {
  return { name, dtype: 'bfloat16', shape };
}

function* quantized(module: string, shape: readonly [number, number]): Generator<ExpertTensor> {
  yield { name: `${module}.weight`, dtype: 'float8_e4m3fn', shape };
  const blocks = shape.map((size) => Math.ceil(size / BLOCK));
  yield { name: `${module}.weight_scale_inv`, dtype: 'float32', shape: blocks };
}
