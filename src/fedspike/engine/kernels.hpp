// Event-driven kernels, for one instruction set; compiled once for each (module.cpp chooses).
//
// Spikes are bits:  trains[client][sample][neuron][word], bit t % 64 of word t / 64: the neuron fires at step t.
// Where a neuron fires in more than half of a word's steps, its silences are the events (see linear.hpp).
// All sums run in a fixed order that neither the number of threads nor the way the work is cut can change.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace fedspike {

constexpr int64_t LEVELS = 65536;  // that a pixel has in a table, see encode.hpp
constexpr int64_t LARGEST = 7;     // kernel of a convolution, and window of a pool

struct Shape {
    int64_t clients, samples, steps, neurons;
    int64_t words() const { return (steps + 63) / 64; }
    int64_t steps_in(int64_t word) const { return std::min<int64_t>(64, steps - 64 * word); }
    uint64_t all_steps(int64_t word) const { return ~0ull >> (64 - steps_in(word)); }
};

enum class Reset { subtract, zero, none };
enum class Slope { atan, fast_sigmoid, sigmoid, triangular };

// A neuron of parts/neurons, with its surrogate gradient. What a kind does not have is not read: `alpha` is the share of
// a synapse's current that is left after a step, `rho` that of a threshold's rise by `adaptation`, and `raised` is
// 1 - rho.
struct Neuron {
    enum Kind { lif, current_based, adaptive } kind;
    float beta, threshold;
    Reset reset;
    Slope slope;
    float steepness;
    float alpha, adaptation, rho, raised;
    float drop;  // what a spike takes off the membrane, with the reset that subtracts; of an adaptive one its threshold
};

// What makes scores, as parts/read_outs: spikes summed, minus the steps before the first one, or the mean or the sum of
// the membranes of output neurons that do not fire.
enum class ReadOut { count, first, membrane, membrane_sum };

// Batch normalisation through time between a layer's synapses and its neurons, as parts/normalisations/bntt.py; none where
// gamma is null. All are [client][step][channel]. `mean` and `variance` hold what a client is normalised by; where that is
// its minibatch's own, `by_batch`[client], they are written there.
struct Norm {
    const float *gamma = nullptr;
    float *mean = nullptr, *variance = nullptr, *into_gamma = nullptr;
    const bool *by_batch = nullptr;
    float epsilon = 0;
    int64_t steps = 0;
};

// Layers of all clients; no gradients are written where there is nothing to learn.
// `constants` are what neurons have learned in place of a Neuron's, or null: [client][beta, threshold, alpha, rho][neuron].
struct Layer {
    int64_t outputs;
    const float *weight, *bias;
    float *into_weight, *into_bias;
    const float *constants;
    float *into_constants;
    Norm norm = {};
};
constexpr int64_t CONSTANTS = 4;
using Layers = std::vector<Layer>;

// A convolution of all clients, its neurons, and the pool of window x window behind them; 1 x 1: none. See maps.hpp.
struct Stage {
    int64_t channels_in, height, width, channels, kernel, stride, padding, groups, window;
    bool maximum;  // of a window; else its mean
    const float *weight, *bias;
    float *into_weight, *into_bias;
    const float *constants = nullptr;  // as of a Layer, of each output
    float *into_constants = nullptr;
    Norm norm = {};

    int64_t places() const { return kernel * kernel; }
    int64_t inputs() const { return channels_in * height * width; }
    int64_t weights() const { return channels * group_in() * places(); }
    // Channels of a group, before the convolution and behind it.
    int64_t group_in() const { return channels_in / groups; }
    int64_t group_out() const { return channels / groups; }
    // Whether each channel meets one channel alone, so that vectors are of channels on both sides; see depthwise.hpp.
    bool depthwise() const { return groups > 1 && groups == channels_in && groups == channels; }
    // Of the grid of outputs, and where a row of them begins.
    int64_t columns() const { return width + kernel - 1; }
    int64_t positions() const { return (height + kernel - 1) * columns(); }
    int64_t row(int64_t y) const { return (kernel - 1 - padding) * (columns() + 1) + y * stride * columns(); }
    int64_t words() const { return (height * columns() + 63) / 64; }
    // Of values that enter as they are: zeros before the first, and numbers from channel to channel, zeros behind too.
    int64_t lead() const { return (kernel - 1) * (columns() + 1); }
    int64_t apart() const { return lead() + std::max(64 * words(), positions()); }
    int64_t out_height() const { return (height + 2 * padding - kernel) / stride + 1; }
    int64_t out_width() const { return (width + 2 * padding - kernel) / stride + 1; }
    // Behind the pool.
    int64_t rows_after() const { return out_height() / window; }
    int64_t columns_after() const { return out_width() / window; }
    int64_t places_after() const { return rows_after() * columns_after(); }
    int64_t outputs() const { return channels * places_after(); }
    int64_t planes() const { return maximum ? 1 : 64 - __builtin_clzll(window * window); }
    // What a spike behind the pool counts for.
    float share() const { return maximum ? 1.0f : 1.0f / (float)(window * window); }
};
using Stages = std::vector<Stage>;

// Adam, see adam.hpp; before its step a weight is `kept` times what it was.
struct Adam {
    float rate, beta1, beta2, epsilon, kept;
};

// A minibatch of every client: images of one data set by their positions in it, -1 where a batch is padded. Of `models`
// that learn step by step, all of their minibatches: those of a step are so many clients, and the next step's come
// behind them.
struct Batch {
    int64_t clients, samples, inputs;
    const float *pixels;
    const int64_t *positions;
    int64_t models;
    int64_t stored;  // numbers of an image: its inputs, or two for each word of their trains
    int64_t steps() const { return clients / models; }
    const float *image(int64_t item) const {
        return positions[item] < 0 ? nullptr : pixels + positions[item] * stored;
    }
};

// How pixels become what enters the first layer, as parts/codes: spikes drawn at an address, or a
// train of spikes looked up in a table of 65,536 levels; or the pixels themselves at every step; or trains that stand in
// the pixels' place as they were recorded, [input][word].
struct Code {
    enum { rate, table, direct, recorded } kind;
    int64_t steps;
    uint64_t key[2], round;
    float gain;
    const int64_t *clients, *first_samples;
    const uint64_t *trains;     // [level][word]
    const float *step_weights;  // what a spike counts for at each step, or null
    int64_t above;              // how far before stands the pixel above which a level is taken, or 0
};

// Which values of linear hidden layers stay in training: the spikes that a rate code draws of ones, layer after layer,
// with its gain as the share that stays; or null, where all do. See networks/dropout.py.
using Dropout = const Code *;

// What is learned, as parts/losses: a score's distance from the wanted one, or softmax cross-entropy of
// scale * scores + shift; each client's loss is the mean over its samples. Of any other loss its slopes are given.
struct Loss {
    enum { none, squares, cross_entropy, given } kind;
    const int64_t *labels;                  // [client][sample]
    float correct, incorrect, per_square;   // squares: the wanted scores, and the factor of the sum over classes
    double *losses;                         // [client]
    const float *scale, *shift;             // [client][class], or null: 1 and 0
    const float *slopes;                    // given: [client][sample][class]
    const Adam *adam;                       // makes new weights, which go where gradients would; or null
};

// A layer of competing neurons and the pair rule, as parts/neurons/competitive.py and parts/plasticity.
struct Competition {
    float beta, threshold, rise, sinking, tau_in, tau_out, incoming, a_plus, a_minus;
    bool learns;
};

// Arrays are [client][sample][step][neuron] or [client][output][input]; "in" and "out" name a layer's two sides.
struct Kernels {
    // A code's trains: spikes drawn at an address, or looked up.
    void (*encode)(Shape, const float *pixels, const Code &, uint64_t *trains);
    // The recurrence of parts/neurons/lif.py through all steps, from rest; counts[client][neuron] of the samples present.
    void (*fire)(Shape, Neuron, const float *currents, const bool *present, float *membrane, float *spikes,
                 int64_t *counts);
    // Its adjoint: dL/dI from dL/dS.
    void (*fire_adjoint)(Shape, Neuron, const float *membrane, const float *into_spikes, float *gradient);
    // The mean of windows of size x size, in `rows` rows of windows over images of that width; and its adjoint.
    void (*average)(int64_t rows, int64_t width, int64_t size, const float *images, float *means);
    void (*average_adjoint)(int64_t rows, int64_t width, int64_t size, const float *into_means, float *into_images);
    // A whole network of spiking layers, from pixels to scores[client][sample][class] and back. events[count][client]:
    // see Samples in learning.hpp.
    void (*spiking)(const Batch &, const Code &, Neuron, ReadOut, const Stages &, const Layers &, const Loss &, Dropout,
                    float *scores, int64_t *events);
    // The same with normalisations between synapses and neurons, of all layers but the last.
    void (*normalised)(const Batch &, const Code &, Neuron, ReadOut, const Stages &, const Layers &, const Loss &,
                       float *scores, int64_t *events);
    // The same as `spiking` of layers with ReLU between them.
    void (*conventional)(const Batch &, const Stages &, const Layers &, const Loss &, Dropout, float *scores,
                         int64_t *events);
    // Samples shown to competing neurons one after the other; between competitors[client][sample][0] and [1] one may
    // fire. `updates` are the changes of weights of each client.
    void (*compete)(const Competition &, Shape, int64_t neurons, const float *spikes, const int64_t *competitors,
                    float *weight, float *threshold, int64_t *winners, int64_t *updates);
    // Step number `step` of Adam, from 1 on, on `count` numbers.
    void (*adam)(const Adam &, int64_t step, int64_t count, const float *gradient, float *weight, float *m, float *v);
};

}  // namespace fedspike
