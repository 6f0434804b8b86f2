// Spiking networks with batch normalisation through time. Its statistics are of a client's whole minibatch, so that one
// layer follows the other, each of all samples, and to learn back again. What a layer does is in spiking.hpp and
// stages.hpp.
#pragma once
#include "spiking.hpp"
#include "statistics.hpp"

namespace fedspike {
namespace {

// Calls row(V, channel, offset) for each row of a stage's outputs, where V vectors of channels begin in its grid.
template <typename Row>
inline void for_output_rows(const Stage &s, const Row &row) {
    for_channels(s.channels, [&](auto V, int64_t first, int64_t) {
        for (int64_t y = 0; y < s.out_height(); ++y) row(V, first, first * s.positions() + s.row(y) * (V * LANES));
    });
}

// The mean over places of at(offset in the grid, channel), for all channels: row by row, then over the rows.
template <typename At>
inline void mean_over_places(const Stage &s, const At &at, float *means) {
    std::fill_n(means, whole_vectors(s.channels), 0.0f);
    for_output_rows(s, [&](auto V, int64_t first, int64_t row) {
        Vec sum[V] = {};
        for (int64_t x = 0; x < s.out_width(); ++x)
#pragma GCC unroll 2
            for (int v = 0; v < V; ++v) sum[v] += at(row + (x * s.stride * V + v) * LANES, first + v * LANES);
        for (int v = 0; v < V; ++v) store(means + first + v * LANES, load(means + first + v * LANES) + sum[v]);
    });
    const float places = s.out_height() * s.out_width();
    for (int64_t c = 0; c < whole_vectors(s.channels); ++c) means[c] /= places;
}

// A client's samples, or some of them where nobody else's count, on their way through the layers, which are numbered from
// the first stage to the last linear layer.
struct Normalised {
    Spiking &p;
    int64_t count;
    int team;  // threads that share the samples
    typename Spiking::Trace trace{p, count};
    std::vector<typename Spiking::Scratch> scratch;  // of each sample
    std::vector<Statistics> statistics{};            // [layer but the last]
    std::vector<std::vector<Floats>> standard{};     // [layer][sample]: (I - mean)/deviation
    std::vector<Floats> means, others;  // [sample][step][channel]: over places of a stage, and what goes with these
    std::vector<float> shares, ones;    // of each sample in the statistics; 1 where it is there
    int64_t first = 0, k = -1;          // the first sample, and its client
    const Client *client = nullptr;

    Normalised(Spiking &p, int64_t count, int team)
        : p(p), count(count), team(team), means(count), others(count), shares(count), ones(count) {
        for (int64_t b = 0; b < count; ++b) scratch.emplace_back(p);
        size_t widest = 0;
        const auto room = [&](const Norm &norm, int64_t channels, int64_t places, int64_t numbers) {
            statistics.emplace_back(norm, channels, places);
            standard.emplace_back(count, Floats(p.learns() ? p.code.steps * numbers : 0));
        };
        for (const Stage &s : p.stages) {
            room(s.norm, s.channels, s.out_height() * s.out_width(), grid_of(s));
            widest = std::max<size_t>(widest, p.code.steps * whole_vectors(s.channels));
        }
        for (size_t l = 0; l + 1 < p.layers.size(); ++l)
            room(p.layers[l].norm, p.layers[l].outputs, 1, whole_vectors(p.layers[l].outputs));
        for (auto *all : {&means, &others})
            for (Floats &one : *all) one.resize(widest);
    }

    float *score(int64_t b) const { return p.scores + (first + b) * p.layers.back().outputs; }
    bool is_stage(size_t n) const { return n < p.stages.size(); }
    size_t linear(size_t n) const { return n - p.stages.size(); }

    // Samples from `start` on, to scores and, to learn, back. All work for a sample between two sums over samples is done
    // at once.
    void pass(int64_t start, int64_t there, const Client &weights) {
        first = start, k = start / p.batch.samples, client = &weights;
        for (int64_t b = 0; b < count; ++b) {
            trace.x[b] = b < there ? p.batch.image(first + b) : nullptr;
            ones[b] = trace.x[b] ? 1 : 0;
            if (b < there && !trace.x[b]) std::fill_n(score(b), p.layers.back().outputs, 0.0f);
        }
        const size_t last = p.stages.size() + p.layers.size() - 1;
        each([&](int64_t b) {
            enter(b);
            currents(0, b);
        });
        for (size_t n = 0; n < last; ++n) {
            measure(n);
            each([&](int64_t b) {
                is_stage(n) ? fire_stage(n, b) : fire(n, b);
                currents(n + 1, b);
            });
        }
        each([&](int64_t b) {
            p.fire(linear(last), first + b, weights, scratch[b], trace.of[b], score(b));
            if (p.learns()) unfire(last, b);
            if (p.learns() && last) unfire(last - 1, b);
        });
        for (size_t n = last; p.learns() && n-- > 0;) {
            measure_back(n);
            each([&](int64_t b) {
                is_stage(n) ? back_stage(n, b) : back(n, b);
                if (n) unfire(n - 1, b);
            });
        }
    }

    // Calls work(sample) for all that are there.
    template <typename Work>
    void each(const Work &work) const {
#pragma omp parallel for schedule(dynamic) num_threads(team)
        for (int64_t b = 0; b < count; ++b)
            if (trace.x[b]) work(b);
    }

    void enter(int64_t b) {
        float *driven = scratch[b].driven.data();
        if (p.drives()) affine({trace.x[b]}, 1, client->forward[0], driven, &p.samples.count(0, first + b));
        p.enter(trace.x[b], driven, first + b, *client, scratch[b], trace.of[b]);
    }

    void currents(size_t n, int64_t b) {
        if (is_stage(n)) return stage_currents(n, b);
        if (!p.stages.empty() && !linear(n)) p.count_stages(first + b, scratch[b].stack);
        p.currents(linear(n), first + b, *client, scratch[b], trace.of[b]);
    }

    // Calls at(V, offset) for panels of channels at all steps.
    template <typename At>
    void for_steps(const Statistics &own, const At &at) const {
#pragma omp parallel for schedule(static) num_threads(team)
        for (int64_t t = 0; t < p.code.steps; ++t)
            for_panels<4>(own.width, [&](auto V, int64_t offset, int64_t) { at(V, t * own.width + offset); });
    }

    // to[offset] = sum over samples of weights[sample] * at(sample, offset)
    template <int V, typename At>
    void sum(const std::vector<float> &weights, int64_t offset, const At &at, Floats &to) const {
        const auto one = [&](int64_t b, int v) { return weights[b] ? weights[b] * at(b, offset + v * LANES) : Vec{}; };
        fold<V>(count, one, &to[offset]);
    }

    // What each sample has of a layer's statistics: nothing where its client keeps them.
    void share(const Statistics &own) {
        for (int64_t b = 0; b < count; ++b)
            shares[b] = own.norm.by_batch[k] ? ones[b] / (float)p.samples.present[k] : 0;
    }

    // The statistics of a layer. A sample's places have a mean, and a variance around it.
    void measure(size_t n) {
        Statistics &own = statistics[n];
        own.fill(k);
        const bool by_batch = own.norm.by_batch[k], stage = is_stage(n);
        share(own);
        const auto mean = [&](int64_t b, int64_t i) { return load(stage ? &means[b][i] : &scratch[b].flow[i]); };
        const auto variance = [&](int64_t b, int64_t i) {
            const Vec distance = mean(b, i) - load(&own.mean[i]), square = distance * distance;
            return stage ? load(&others[b][i]) + square : square;
        };
        if (by_batch)
            for_steps(own, [&](auto V, int64_t i) {
                sum<V>(shares, i, mean, own.mean);
                sum<V>(shares, i, variance, own.variance);
            });
        own.finish(k);
    }

    // What comes back through them.
    void measure_back(size_t n) {
        Statistics &own = statistics[n];
        const bool stage = is_stage(n);
        share(own);
        const auto slope = [&](int64_t b, int64_t i) {
            return load(stage ? &means[b][i] : &trace.of[b].delta[linear(n)][i]);
        };
        const auto scaled = [&](int64_t b, int64_t i) {
            return stage ? load(&others[b][i]) : slope(b, i) * load(&standard[n][b][i]);
        };
        for_steps(own, [&](auto V, int64_t i) {
            sum<V>(ones, i, slope, own.into);
            sum<V>(ones, i, scaled, own.into_gamma);
        });
        own.finish_back(k);
    }

    void fire(size_t n, int64_t b) {
        const Statistics &own = statistics[n];
        float *flow = scratch[b].flow.data(), *kept = standard[n][b].data();
        for (int64_t i = 0; i < p.code.steps * own.width; i += LANES) {
            const Vec one = own.standard(load(flow + i), i);
            if (p.learns()) store(kept + i, one);
            store(flow + i, load(&own.gamma[i]) * one);
        }
        p.fire(linear(n), first + b, *client, scratch[b], trace.of[b], score(b));
    }

    void unfire(size_t n, int64_t b) {
        if (is_stage(n)) return unfire_stage(n, b);
        p.unfire(linear(n), first + b, *client, scratch[b], trace.of[b], score(b));
    }

    void back(size_t n, int64_t b) {
        const Statistics &own = statistics[n];
        float *delta = trace.of[b].delta[linear(n)].data();
        const float *kept = standard[n][b].data();
        for (int64_t i = 0; i < p.code.steps * own.width; i += LANES)
            store(delta + i, own.back(load(delta + i), load(kept + i), i, shares[b]));
    }

    float *grid(size_t l, int64_t b, int64_t t) {
        const Stage &s = p.stages[l];
        return &scratch[b].stack.rooms[l].grids[t * grid_of(s)];
    }
    float *standard_grid(size_t l, int64_t b, int64_t t) {
        const Stage &s = p.stages[l];
        return p.learns() ? &standard[l][b][t * grid_of(s)] : nullptr;
    }

    void stage_currents(size_t l, int64_t b) {
        const Stage &s = p.stages[l];
        for (int64_t t = 0; t < p.code.steps; ++t) {
            scratch[b].stack.currents(l, t, client->filters[l]);
            if (!statistics[l].norm.by_batch[k]) continue;
            const float *now = grid(l, b, t);
            float *mean = &means[b][t * statistics[l].width], *variance = &others[b][t * statistics[l].width];
            mean_over_places(s, [&](int64_t at, int64_t) { return load(now + at); }, mean);
            const auto square = [&](int64_t at, int64_t channel) {
                const Vec distance = load(now + at) - load(mean + channel);
                return distance * distance;
            };
            mean_over_places(s, square, variance);
        }
    }

    // Calls at(offset in the grid, offset in the statistics) for V vectors of each output at a step.
    template <typename At>
    static void for_outputs(const Stage &s, int64_t t, const At &at) {
        for_output_rows(s, [&](auto V, int64_t first, int64_t row) {
            for (int64_t x = 0; x < s.out_width(); ++x)
#pragma GCC unroll 2
                for (int v = 0; v < V; ++v)
                    at(row + (x * s.stride * V + v) * LANES, t * whole_vectors(s.channels) + first + v * LANES);
        });
    }

    void fire_stage(size_t l, int64_t b) {
        const Statistics &own = statistics[l];
        for (int64_t t = 0; t < p.code.steps; ++t) {
            float *now = grid(l, b, t), *kept = standard_grid(l, b, t);
            for_outputs(p.stages[l], t, [&](int64_t at, int64_t i) {
                const Vec one = own.standard(load(now + at), i);
                if (kept) store(kept + at, one);
                store(now + at, load(&own.gamma[i]) * one);
            });
            scratch[b].stack.fire(l, t, client->filters[l], trace.of[b].fired[0].data());
        }
    }

    // What comes back takes the margins' place, step by step.
    void unfire_stage(size_t l, int64_t b) {
        const Stage &s = p.stages[l];
        Stack &stack = scratch[b].stack;
        float *flow = scratch[b].flow.data(), *into = stack.rooms[l].into.data();
        const bool last = l + 1 == p.stages.size();
        if (last) client->back[0].through(p.code.steps, trace.of[b].delta[0].data(), flow);
        trace.of[b].filters[l].clear();
        stack.rest(l);
        for (int64_t t = p.code.steps - 1; t >= 0; --t) {
            if (last)
                turn(s, flow + t * client->back[0].width, into);
            else
                through_filters(client->filters[l + 1], grid(l + 1, b, t), into);
            stack.unfire(l, t, client->filters[l], trace.of[b].filters[l]);
            float *now = grid(l, b, t);
            const float *kept = standard_grid(l, b, t);
            std::copy(stack.rooms[l].delta.begin(), stack.rooms[l].delta.end(), now);
            const int64_t i = t * statistics[l].width;
            mean_over_places(s, [&](int64_t at, int64_t) { return load(now + at); }, &means[b][i]);
            mean_over_places(s, [&](int64_t at, int64_t) { return load(now + at) * load(kept + at); }, &others[b][i]);
        }
    }

    void back_stage(size_t l, int64_t b) {
        const Statistics &own = statistics[l];
        for (int64_t t = p.code.steps - 1; t >= 0; --t) {
            float *now = grid(l, b, t);
            const float *kept = standard_grid(l, b, t), share = shares[b];
            for_outputs(p.stages[l], t, [&](int64_t at, int64_t i) {
                store(now + at, own.back(load(now + at), load(kept + at), i, share));
            });
            scratch[b].stack.weigh(l, t, now, trace.of[b].filters[l]);
        }
    }
};

// Clients side by side, a thread for each, and those left over by all threads together; or blocks of samples, where they
// are normalised by what their clients keep.
void normalised(const Batch &batch, const Code &code, Neuron neuron, ReadOut read_out, const Stages &stages,
                const Layers &layers, const Loss &loss, float *scores, int64_t *events) {
    Spiking p{batch, code, neuron, read_out, stages, layers, loss, nullptr, scores};
    bool whole = p.learns();
    for (int64_t k = 0; k < batch.clients; ++k) {
        for (const Stage &s : stages) whole |= s.norm.by_batch[k];
        for (size_t l = 0; l + 1 < layers.size(); ++l) whole |= layers[l].norm.by_batch[k];
    }
    const int64_t rows = whole ? batch.samples : std::min(batch.samples, p.block());
    const int64_t blocks = (batch.samples + rows - 1) / rows, items = batch.clients * blocks;
    const int threads = omp_get_max_threads();
    const auto work = [&](int64_t item, Normalised &all, Client &client, std::vector<Gradients> &sums) {
        const int64_t k = item / blocks, first = item % blocks * rows;
        if (k != all.k) client.fill(k);
        all.pass(k * batch.samples + first, std::min(rows, batch.samples - first), client);
        if (!p.learns()) return;
        const int64_t parts = sums.size();
#pragma omp parallel for schedule(static) num_threads(all.team)
        for (int64_t part = 0; part < parts; ++part) {
            sums[part].clear();
            p.add(rows, all.trace, sums[part], part, parts);
            sums[part].store(p, k, part, parts);
        }
    };
    const int64_t apart = items - items % threads;
    if (apart)
#pragma omp parallel
    {
        Normalised all(p, rows, 1);
        Client client(p);
        std::vector<Gradients> sums(p.learns() ? 1 : 0, Gradients(p));
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < apart; ++item) work(item, all, client, sums);
    }
    if (apart < items) {
        Normalised all(p, rows, threads);
        Client client(p);
        std::vector<Gradients> sums(p.learns() ? threads : 0, Gradients(p));
        for (int64_t item = apart; item < items; ++item) work(item, all, client, sums);
    }
    p.samples.sum(events, loss.losses);
}

}  // namespace
}  // namespace fedspike
