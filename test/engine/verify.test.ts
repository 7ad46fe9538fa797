/** Every hook, intervention and token of every fixture against PyTorch; and that a wrong anatomy would be noticed. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Site } from '../../extension/engine/anatomy/hooks';
import type { Subject } from '../../extension/engine/anatomy/subject';
import { sizeOf } from '../../extension/engine/onnx/model';
import { describeModel, type Description } from '../../extension/engine/session/describe';
import { verifyFixture, verifyModel, type Check } from '../../scripts/lens/verify';
import { BUNDLED, fixture, fixtureNames } from '../support/fixtures';

const THREADS = 2;

function assertAllRight(checks: readonly Check[]): void {
  const wrong = checks.filter(({ status }) => status === 'off' || status === 'missing');
  assert.deepEqual(wrong, []);
}

describe('verify', function () {
  this.timeout(120_000);

  for (const name of fixtureNames)
    it(`${name}: all hooks, interventions and tokens equal PyTorch's`, async () => {
      const checks = await verifyFixture(fixture(name).folder, THREADS);
      assertAllRight(checks);
      // The reference has them, so that an empty comparison cannot pass.
      for (const part of ['attn.hook_pattern', 'mlp.hook_post', 'interventions/'])
        assert.ok(
          checks.some((check) => check.name.includes(part) && check.absolute !== null),
          part,
        );
    });

  it('bert-base-cased (included): logits, next sentence and tokens', async () => {
    assertAllRight(
      await verifyModel(await describeModel(BUNDLED), join('test', 'fixtures', 'bert-base-cased'), THREADS),
    );
  });

  describe('notices', () => {
    type Sites = Map<string, Site>;
    /** Exchanges what two hooks point at. */
    const exchange = (sites: Sites, one: string, other: string): void => {
      const [first, second] = [sites.get(one) as Site, sites.get(other) as Site];
      sites.set(one, second);
      sites.set(other, first);
    };
    const reversed = (sites: Sites, hook: string): void => {
      const site = sites.get(hook) as Site;
      assert.equal(site.layout.kind, 'tokens');
      if (site.layout.kind !== 'tokens') return;
      const { rest, columns } = site.layout;
      const [heads, width] = rest as [number, number];
      const all = columns ?? Int32Array.from({ length: heads * width }, (_, index) => index);
      const mirrored = Int32Array.from({ length: heads * width }, (_, index) => {
        const head = heads - 1 - Math.floor(index / width);
        return all[head * width + (index % width)] as number;
      });
      sites.set(hook, { ...site, layout: { ...site.layout, columns: mirrored } });
    };
    /** Reads [B,H,T,d], before it was turned, as if it were [B,T,H,d]. */
    const unturned = (sites: Sites, hook: string, { wires }: Subject): void => {
      const site = sites.get(hook) as Site;
      assert.equal(site.layout.kind, 'tokens');
      if (site.layout.kind !== 'tokens') return;
      const turn = wires.maker(wires.origin(site.value, ({ opType }) => opType === 'Reshape'));
      assert.equal(turn?.opType, 'Transpose');
      const { rest } = site.layout;
      sites.set(hook, { value: turn?.inputs[0] as string, layout: { ...site.layout, width: sizeOf(rest) } });
    };
    const MUTATIONS: Record<string, (sites: Sites, subject: Subject) => void> = {
      'q and k exchanged': (sites) => exchange(sites, 'blocks.1.attn.hook_q', 'blocks.1.attn.hook_k'),
      'heads of z in another order': (sites) => reversed(sites, 'blocks.0.attn.hook_z'),
      'heads of v in another order': (sites) => reversed(sites, 'blocks.2.attn.hook_v'),
      'heads and positions of z exchanged': (sites, subject) => unturned(sites, 'blocks.1.attn.hook_z', subject),
      'scores taken for the pattern': (sites) =>
        exchange(sites, 'blocks.0.attn.hook_attn_scores', 'blocks.0.attn.hook_pattern'),
      'before taken for after the activation': (sites) =>
        exchange(sites, 'blocks.1.mlp.hook_pre', 'blocks.1.mlp.hook_post'),
      'two layers exchanged': (sites) => exchange(sites, 'blocks.0.attn.hook_pattern', 'blocks.1.attn.hook_pattern'),
      'residual before taken for after attention': (sites) =>
        exchange(sites, 'blocks.1.hook_resid_pre', 'blocks.1.hook_resid_mid'),
      'attention and feed-forward outputs exchanged': (sites) =>
        exchange(sites, 'blocks.2.hook_attn_out', 'blocks.2.hook_mlp_out'),
    };
    for (const [mutation, change] of Object.entries(MUTATIONS))
      for (const name of ['bert', 'gpt2'])
        it(`${mutation} (${name})`, async () => {
          const ref = fixture(name);
          const description = await describeModel(ref);
          const sites = new Map(description.anatomy.hooks.sites);
          const { anatomy } = description;
          change(sites, anatomy.subject);
          const wrong: Description = {
            ...description,
            anatomy: { ...anatomy, hooks: { ...anatomy.hooks, sites } },
          };
          const checks = await verifyModel(wrong, ref.folder, THREADS);
          assert.ok(checks.some(({ status }) => status === 'off' || status === 'missing'));
        });
  });
});
