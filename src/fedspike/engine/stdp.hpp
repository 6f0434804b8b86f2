// Competing neurons that learn by the pair rule, as parts/plasticity: sample after sample, client beside client.
#pragma once
#include <cstring>

#include "kernels.hpp"

namespace fedspike {
namespace {

// One client's layer while it is shown samples. Weights are [input][neuron], so that an event adds a row.
struct Competitors {
    const Competition &rule;
    int64_t steps, inputs, neurons;
    std::vector<float> W, theta, U, p, q;
    std::vector<int64_t> fired;  // neurons that fired for this sample: only they have a trace
    int64_t updates = 0;

    Competitors(const Competition &rule, const Shape &s, int64_t neurons, const float *weight, const float *threshold)
        : rule(rule), steps(s.steps), inputs(s.neurons), neurons(neurons), W(inputs * neurons),
          theta(threshold, threshold + neurons), U(neurons), p(inputs), q(neurons) {
        for (int64_t j = 0; j < neurons; ++j)
            for (int64_t i = 0; i < inputs; ++i) W[i * neurons + j] = weight[j * inputs + i];
    }

    void give(float *weight, float *threshold) const {
        for (int64_t j = 0; j < neurons; ++j)
            for (int64_t i = 0; i < inputs; ++i) weight[j * inputs + i] = W[i * neurons + j];
        std::copy(theta.begin(), theta.end(), threshold);
    }

    void integrate(const float *x) {
        float *u = U.data();
        for (int64_t j = 0; j < neurons; ++j) u[j] = rule.beta * u[j];
        for (int64_t i = 0; i < inputs; ++i) {
            if (x[i] == 0) continue;
            const float *row = &W[i * neurons], value = x[i];
            for (int64_t j = 0; j < neurons; ++j) u[j] += row[j] * value;
        }
    }

    // The first of those that are farthest above their threshold, or -1.
    int64_t winner(int64_t first, int64_t last) const {
        const float *u = U.data(), *th = theta.data();
        int any = 0;
        for (int64_t j = first; j < last; ++j) any |= u[j] - th[j] > 0;
        if (!any) return -1;
        int64_t best = first;
        for (int64_t j = first + 1; j < last; ++j)
            if (u[j] - th[j] > u[best] - th[best]) best = j;
        return best;
    }

    static float clamped(float weight) { return std::min(1.0f, std::max(0.0f, weight)); }

    void learn(const float *x, int64_t won) {
        float *trace = p.data();
        for (int64_t i = 0; i < inputs; ++i) trace[i] = trace[i] - trace[i] / rule.tau_in + x[i];
        for (int64_t j : fired) q[j] = q[j] - q[j] / rule.tau_out;
        if (won >= 0) {
            q[won] += 1;
            if (std::find(fired.begin(), fired.end(), won) == fired.end()) fired.push_back(won);
        }
        for (int64_t i = 0; i < inputs; ++i) {
            if (x[i] == 0) continue;
            for (int64_t j : fired) {
                if (j == won) continue;
                float &weight = W[i * neurons + j];
                weight = clamped(weight + (0.0f - rule.a_minus * q[j] * x[i]));
                ++updates;
            }
        }
        if (won < 0) return;
        const float late = rule.a_minus * q[won];
        for (int64_t i = 0; i < inputs; ++i) {
            float &weight = W[i * neurons + won];
            weight = clamped(weight + (rule.a_plus * trace[i] - late * x[i]));
        }
        updates += inputs;
        theta[won] += rule.rise;
    }

    void rest() {
        for (int64_t j : fired) {
            double total = 0;
            for (int64_t i = 0; i < inputs; ++i) total += W[i * neurons + j];
            const float factor = total > 0 ? (float)(rule.incoming / total) : 1.0f;
            for (int64_t i = 0; i < inputs; ++i) W[i * neurons + j] *= factor;
            updates += inputs;
        }
        for (float &th : theta) th = rule.threshold + rule.sinking * (th - rule.threshold);
    }

    void sample(const float *spikes, const int64_t *competitors, int64_t *winners) {
        std::fill(U.begin(), U.end(), 0.0f);
        std::fill(p.begin(), p.end(), 0.0f);
        std::fill(q.begin(), q.end(), 0.0f);
        fired.clear();
        for (int64_t t = 0; t < steps; ++t) {
            const float *x = spikes + t * inputs;
            integrate(x);
            const int64_t won = winners[t] = winner(competitors[0], competitors[1]);
            if (won >= 0) std::fill(U.begin(), U.end(), 0.0f);
            if (rule.learns) learn(x, won);
        }
        if (rule.learns) rest();
    }
};

constexpr int64_t AT_A_TIME = 128;  // samples that one thread shows to neurons that do not learn

// spikes[client][sample][step][input], competitors[client][sample][2], winners[client][sample][step].
// Neurons that learn see a client's samples one after the other; others see parts of them side by side.
void compete(const Competition &rule, Shape s, int64_t neurons, const float *spikes, const int64_t *competitors,
             float *weight, float *threshold, int64_t *winners, int64_t *updates) {
    const int64_t most = rule.learns ? std::max<int64_t>(1, s.samples) : AT_A_TIME;
    const int64_t parts = (s.samples + most - 1) / most;
    std::fill_n(updates, s.clients, 0);
#pragma omp parallel for schedule(dynamic)
    for (int64_t part = 0; part < s.clients * parts; ++part) {
        const int64_t client = part / parts, first = part % parts * most;
        float *own = weight + client * neurons * s.neurons, *th = threshold + client * neurons;
        Competitors layer(rule, s, neurons, own, th);
        for (int64_t item = client * s.samples + first;
             item < client * s.samples + std::min(first + most, s.samples); ++item) {
            const int64_t *between = competitors + 2 * item;
            if (between[0] < between[1])
                layer.sample(spikes + item * s.steps * s.neurons, between, winners + item * s.steps);
            else
                std::fill_n(winners + item * s.steps, s.steps, -1);
        }
        if (!rule.learns) continue;
        layer.give(own, th);
        updates[client] = layer.updates;
    }
}

}  // namespace
}  // namespace fedspike
